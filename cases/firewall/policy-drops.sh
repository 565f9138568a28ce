#!/bin/bash
# Low ports may be bound here, but the firewall lets only high ones in: clients time out.
# asks: portwise reach 10.77.1.1:80 --from 10.77.1.2%v1
# first: silent
# first: inet guard incoming policy is to drop
# first: nft add rule inet guard incoming tcp dport 80 accept
# first: pid $PID
# not: ECONNREFUSED
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT
veth $HOST $CLIENT
rules $HOST <<'N'
table inet guard {
  chain incoming {
    type filter hook input priority filter; policy drop;
    iif lo accept
    ct state established,related accept
    tcp dport >= 1024 accept
  }
}
N
serve $HOST 0 tcp 0.0.0.0 80
served() { gets $CLIENT 10.77.1.1 80; }
ask $HOST PID=$LAST
