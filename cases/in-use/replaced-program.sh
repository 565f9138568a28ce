#!/bin/bash
# The program was upgraded, but the old one still runs: its file is gone.
# asks: portwise why 127.0.0.1:8080
# first: EADDRINUSE
# first: pid $PID
# first: was deleted or replaced
# says: kill $PID
. "$(dirname "$0")/../lib.sh"
netns A
cp "$(readlink -f "$PY")" "$DIR/app"
SOCK_ARGS="serve tcp 127.0.0.1 8080 --ready $DIR/ready/app" spawn $A "$DIR/app" "$DIR/sock.py"
wait_for "$DIR/ready/app"
rm "$DIR/app"
sure deleted "$(readlink /proc/$LAST/exe)"
ask $A PID=$LAST
