#!/bin/bash
# A socket is bound and has never listened: ss, netstat and lsof show nothing on the port.
# asks: portwise why 127.0.0.1:5000
# first: EADDRINUSE
# first: pid $PID (broker)
# first: not listening
# not: TIME_WAIT
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp 127.0.0.1 5000 --no-listen --comm broker
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 5000)"
ask $A PID=$LAST
