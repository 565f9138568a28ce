#!/bin/bash
# The server is dead; a child that it had started inherited the listening socket and keeps the port.
# asks: portwise why 127.0.0.1:8080
# first: EADDRINUSE
# first: pid $PID (sleep)
# first: kill $PID
# says: inherited
# not: TIME_WAIT
. "$(dirname "$0")/../lib.sh"
netns A
cat >"$DIR/daemon.py" <<'P'
import os, socket, subprocess, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 8080))
s.listen(5)
s.set_inheritable(True)
null = subprocess.DEVNULL
child = subprocess.Popen(["sleep", "190"], close_fds=False, stdout=null, stderr=null, start_new_session=True)
open(sys.argv[1], "w").write(str(child.pid))
os._exit(0)
P
inside $A "$PY" "$DIR/daemon.py" "$DIR/child"
child=$(cat "$DIR/child")
PIDS+=("$child")
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 8080 --reuseaddr)"
ask $A PID=$child
