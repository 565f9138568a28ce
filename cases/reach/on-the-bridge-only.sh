#!/bin/bash
# The database listens on the address of the docker bridge only; a program on the host goes to 127.0.0.1.
# asks: portwise reach 127.0.0.1:3306
# first: refused
# first: ECONNREFUSED
# says: pid $PID
# says: it takes only what is sent to 172.17.0.1
# says: 172.17.0.1:3306 reaches it
. "$(dirname "$0")/../lib.sh"
netns A
ip -n $A link add docker0 type bridge || not_here "no bridges"
ip -n $A addr add 172.17.0.1/16 dev docker0
ip -n $A link set docker0 up
serve $A 0 tcp 172.17.0.1 3306
sure ECONNREFUSED "$(sock $A once tcp 127.0.0.1 3306)"
ask $A PID=$LAST
