#!/bin/bash
# The holder is bound to an interface; a socket on every interface meets it.
# asks: portwise why 0.0.0.0:8080
# first: EADDRINUSE
# first: pid $PID
# first: bound to v1
# first: a socket on every interface meets it
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
serve $A 0 tcp 0.0.0.0 8080 --dev v1
sure EADDRINUSE "$(sock $A bind tcp 0.0.0.0 8080)"
sure OK "$(sock $A bind tcp 0.0.0.0 8080 --dev lo)"
ask $A PID=$LAST
