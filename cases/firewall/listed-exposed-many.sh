#!/bin/bash
# The rules let in more senders than are asked about: a server that only one of the last may reach is not left out.
# asks: portwise list -t --exposed
# says: 0.0.0.0:7105 - unknown
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT
veth $HOST $CLIENT
rules $HOST <<N
table inet f {
  chain in {
    type filter hook input priority filter; policy drop;
    iif lo accept
$(for n in $(seq 1 40); do echo "    ip saddr 10.78.$n.1 accept"; done)
    ip saddr 10.77.1.2 tcp dport 7105 accept
  }
}
N
serve $HOST 0 tcp 0.0.0.0 7105
ask $HOST
