#!/bin/bash
# The address is there and the server too; the link was switched off.
# asks: portwise reach 10.77.1.1:8080
# first: accepted
# first: v1, which has 10.77.1.1, is switched off
# first: ip link set v1 up
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
serve $A 0 tcp 10.77.1.1 8080
ip -n $A link set v1 down
sure 'TIMEOUT|UNREACH' "$(sock $B once tcp 10.77.1.1 8080)"
ask $A PID=$LAST
