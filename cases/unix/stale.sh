#!/bin/bash
# A server was killed and left its socket file behind: the next one finds the name in use.
# asks: portwise why unix:$DIR/app.sock
# first: EADDRINUSE
# first: stale
# first: rm $DIR/app.sock
# not: held by
. "$(dirname "$0")/../lib.sh"
netns A
inside $A "$PY" "$DIR/sock.py" bind unix "$DIR/app.sock" 0 >/dev/null
sure EADDRINUSE "$(sock $A bind unix "$DIR/app.sock" 0)"
ask $A DIR="$DIR"
