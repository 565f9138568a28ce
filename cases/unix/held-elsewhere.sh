#!/bin/bash
# The socket is held by a server of another network namespace: paths are shared where mounts are.
# asks: portwise why unix:$DIR/app.sock
# first: EADDRINUSE
# first: network namespace $POD
# first: held by pid $PID
# first: kill $PID
# not: stale
. "$(dirname "$0")/../lib.sh"
netns A POD
serve $POD 0 unix "$DIR/app.sock" 0
sure EADDRINUSE "$(sock $A bind unix "$DIR/app.sock" 0)"
ask $A PID=$LAST POD=$POD DIR="$DIR"
