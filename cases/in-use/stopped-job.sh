#!/bin/bash
# The server was stopped with Ctrl-Z: it answers nobody, keeps the port, and kill alone does not end it.
# asks: portwise why 127.0.0.1:8000
# first: EADDRINUSE
# first: pid $PID
# first: stopped
# first: `kill -CONT $PID` lets it go on
# first: kill $PID; kill -CONT $PID
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp 127.0.0.1 8000
kill -STOP $LAST
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 8000)"
ask $A PID=$LAST
