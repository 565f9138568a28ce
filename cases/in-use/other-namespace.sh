#!/bin/bash
# A program in a pod is refused; the holder is in that network namespace, and the host shows nothing.
# asks: portwise why 0.0.0.0:80 --pid $ASKER
# first: EADDRINUSE
# first: pid $PID (httpd)
# says: network namespace
# says: not mine | not in mine | not the one
. "$(dirname "$0")/../lib.sh"
netns HOST POD
serve $POD 0 tcp 0.0.0.0 80 --comm httpd
web=$LAST
spawn $POD "$PY" "$DIR/sock.py"
sure OK "$(sock $HOST bind tcp 0.0.0.0 80)"
sure EADDRINUSE "$(sock $POD bind tcp 0.0.0.0 80)"
ask $HOST PID=$web ASKER=$LAST
