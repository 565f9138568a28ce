#!/bin/bash
# The client has gone, and the server never closed its side: CLOSE_WAIT, without a listener.
# asks: portwise why 127.0.0.1:8080
# first: EADDRINUSE
# first: pid $PID
# first: CLOSE_WAIT
# says: the other side has closed it
. "$(dirname "$0")/../lib.sh"
netns A
SOCK_ARGS="connect tcp 127.0.0.1 8080 --hold 190 --shut" spawn $A "$PY" "$DIR/sock.py"
serve $A 0 tcp 127.0.0.1 8080 --keep
sleep 0.2
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 8080)"
ask $A PID=$LAST
