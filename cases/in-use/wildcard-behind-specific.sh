#!/bin/bash
# A wildcard is asked for where one address of it is taken.
# asks: portwise why 0.0.0.0:8080
# first: EADDRINUSE
# first: pid $PID
# first: the address asked for covers 10.77.1.1 too
# not: TIME_WAIT
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
serve $A 0 tcp 10.77.1.1 8080
sure EADDRINUSE "$(sock $A bind tcp 0.0.0.0 8080)"
sure OK "$(sock $A bind tcp 127.0.0.1 8080)"
ask $A PID=$LAST
