#!/bin/bash
# The listener is gone, but a connection that it had accepted lives on, and the new server has no SO_REUSEADDR.
# asks: portwise why 127.0.0.1:8080
# first: EADDRINUSE
# first: pid $PID
# first: nobody listens
# says: accepted by a listener that is gone
# says: SO_REUSEADDR
# not: TIME_WAIT
. "$(dirname "$0")/../lib.sh"
netns A
SOCK_ARGS="connect tcp 127.0.0.1 8080 --hold 190" spawn $A "$PY" "$DIR/sock.py"
serve $A 0 tcp 127.0.0.1 8080 --keep
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 8080)"
ask $A PID=$LAST
