#!/bin/bash
# Of three servers on every network, the rules let others reach one, and one from one client only.
# asks: portwise list -t --exposed
# says: 0.0.0.0:7101
# says: 0.0.0.0:7102
# not: 0.0.0.0:7103
# not: 127.0.0.1:7104
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT
veth $HOST $CLIENT
rules $HOST <<'N'
table inet f {
  chain in {
    type filter hook input priority filter; policy drop;
    iif lo accept
    ct state established,related accept
    tcp dport 7101 accept
    ip saddr 10.77.1.2 tcp dport 7102 accept
  }
}
N
for port in 7101 7102 7103; do serve $HOST 0 tcp 0.0.0.0 $port; done
serve $HOST 0 tcp 127.0.0.1 7104
ask $HOST
