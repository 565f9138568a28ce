#!/bin/bash
# A UDP port is taken by a wildcard socket; UDP never listens and has no TIME_WAIT.
# asks: portwise why 127.0.0.1:5353/udp
# first: EADDRINUSE
# first: pid $PID
# first: 0.0.0.0:5353/udp
# first: covers 127.0.0.1 too
# first: kill $PID
# not: TIME_WAIT
# not: listening
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 udp 0.0.0.0 5353
sure EADDRINUSE "$(sock $A bind udp 127.0.0.1 5353)"
ask $A PID=$LAST
