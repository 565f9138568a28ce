#!/bin/bash
# The server was restarted, but the old process has outlived its supervisor and keeps the port.
# asks: portwise why 127.0.0.1:3000
# first: EADDRINUSE
# first: pid $PID
# first: kill $PID
# says: its parent is gone | its parent is pid 1
# says: deleted
# not: TIME_WAIT
. "$(dirname "$0")/../lib.sh"
netns A
mkdir "$DIR/release"
ready="$DIR/ready/old"
(cd "$DIR/release" && SOCK_ARGS="serve tcp 127.0.0.1 3000 --ready $ready" inside $A setsid -f "$PY" "$DIR/sock.py" >/dev/null 2>&1)
wait_for "$ready"
old=$(cat "$ready")
PIDS+=("$old")
rm -rf "$DIR/release"
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 3000 --reuseaddr)"
sure '\(deleted\)' "$(readlink /proc/$old/cwd)"
ask $A PID=$old
