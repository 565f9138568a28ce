#!/bin/bash
# A namespace made by hand: nobody switched lo on, and what the host sends to itself is lost.
# asks: portwise reach 127.0.0.1:8080
# first: silent
# first: lo is switched off
# first: ip link set lo up
# says: pid $PID
# not: firewall
. "$(dirname "$0")/../lib.sh"
netns A
ip -n $A link set lo down
serve $A 0 tcp 0.0.0.0 8080
served() { gets $A 127.0.0.1 8080; }
ask $A PID=$LAST
