#!/bin/bash
# A service manager holds the port for the service, which has the same socket and tries to bind again.
# asks: portwise why '[::]:6720'
# first: EADDRINUSE
# first: pid $PID
# first: pid $PID2
# says: the same socket
# not: kill $PID
. "$(dirname "$0")/../lib.sh"
netns A
cat >"$DIR/manager.py" <<'P'
import os, socket, sys, time
open("/proc/self/comm", "w").write("service-manager")
s = socket.socket(socket.AF_INET6)
s.setsockopt(1, 2, 1)
s.bind(("::", 6720))
s.listen(5)
pid = os.fork()
if pid == 0:
    os.dup2(s.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(190)"])
open(sys.argv[1], "w").write(str(pid))
time.sleep(190)
P
spawn $A "$PY" "$DIR/manager.py" "$DIR/ready/child"
manager=$LAST
wait_for "$DIR/ready/child"
service=$(cat "$DIR/ready/child")
PIDS+=("$service")
sleep 0.2
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 6720 --reuseaddr)"
ask $A PID=$manager PID2=$service
