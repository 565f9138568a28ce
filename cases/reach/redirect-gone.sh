#!/bin/bash
# The rule that sent port 80 to the server's own port was lost.
# asks: portwise reach 10.77.1.1:80 --from 10.77.1.2%v1
# first: refused
# first: ECONNREFUSED
# first: no NAT rule (redirect or DNAT) is loaded
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT
veth $HOST $CLIENT
serve $HOST 0 tcp 0.0.0.0 20559
ask $HOST
