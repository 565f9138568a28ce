#!/bin/bash
# Every automatic source port towards one destination is taken by connections that were not closed.
# asks: portwise trace -- $CMD
# first: connect 127.0.0.1:80/tcp: EADDRNOTAVAIL
# first: no source port is free
# first: 40000-40003
# first: by pid $PID (worker)
# says: ip_local_port_range
# says: other destinations still work
# not: in use
. "$(dirname "$0")/../lib.sh"
netns A
tune $A net.ipv4.ip_local_port_range="40000 40003"
serve $A 0 tcp 127.0.0.1 80 --no-accept --backlog 64
cat >"$DIR/worker.py" <<'P'
import socket, sys, time
open("/proc/self/comm", "w").write("worker")
held = []
try:
    while True:
        s = socket.socket()
        s.connect(("127.0.0.1", 80))
        held.append(s)
except OSError:
    open(sys.argv[1], "w")
    time.sleep(190)
P
spawn $A "$PY" "$DIR/worker.py" "$DIR/ready/worker"
worker=$LAST
wait_for "$DIR/ready/worker"
printf '#!/bin/bash\nexec %s %s once tcp 127.0.0.1 80\n' "$PY" "$DIR/sock.py" >"$DIR/client"
chmod 755 "$DIR/client"
sure EADDRNOTAVAIL "$(inside $A "$DIR/client")"
ask $A PID=$worker CMD="$DIR/client"
