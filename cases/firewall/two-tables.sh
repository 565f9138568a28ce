#!/bin/bash
# Two tables refuse the same port, so one rule is not enough.
# asks: portwise reach 10.77.1.1:443 --from 10.77.1.2%v1
# first: silent
# first: nft insert rule ip early pre tcp dport 443 accept
# first: nft add rule inet late in tcp dport 443 accept
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT
veth $HOST $CLIENT
rules $HOST <<'N'
table ip early {
  chain pre {
    type filter hook prerouting priority raw;
    tcp dport 1-1023 drop
  }
}
table inet late {
  chain in {
    type filter hook input priority filter; policy drop;
    iif lo accept
  }
}
N
serve $HOST 0 tcp 0.0.0.0 443
served() { gets $CLIENT 10.77.1.1 443; }
ask $HOST
