#!/bin/bash
# A container without root publishes the port: rootlessport holds it here and passes connections
# on to its child in the network namespace of the container. It was not told where by its
# arguments.
# asks: portwise why 0.0.0.0:8080
# first: EADDRINUSE
# first: pid $PID
# first: rootlessport passes connections on to the network namespace of process $CHILD
# says: podman stop $(podman ps -q --filter publish=8080/tcp)
# not: kill
. "$(dirname "$0")/../lib.sh"
netns A B
cat >"$DIR/port.py" <<'P'
import ctypes, os, socket, time
child = os.fork()
if not child:
    ctypes.CDLL(None).setns(os.open(os.environ["THERE"], os.O_RDONLY), 0)
    open("/proc/self/comm", "w").write("rootlessport-child")
    time.sleep(190)
    os._exit(0)
open("/proc/self/comm", "w").write("rootlessport")
s = socket.socket()
s.bind(("0.0.0.0", 8080))
s.listen()
while os.readlink("/proc/self/ns/net") == os.readlink(f"/proc/{child}/ns/net"):
    time.sleep(0.01)
print(child, file=open(os.environ["READY"] + ".new", "w"), flush=True)
os.rename(os.environ["READY"] + ".new", os.environ["READY"])
try:
    time.sleep(190)
finally:
    os.kill(child, 9)
P
READY=$DIR/ready/port THERE=/run/netns/$B spawn $A bash -c "exec -a rootlessport $PY $DIR/port.py"
wait_for "$DIR/ready/port"
CHILD=$(cat "$DIR/ready/port")
PIDS+=("$CHILD")
# What podman does with these two commands, as far as sockets go; it knows no others.
stand_in podman <<D
#!/bin/bash
case "\$*" in
  "ps -q --filter publish=8080/tcp") kill -0 $LAST 2>/dev/null && echo 3f1c5b0a9d27 ;;
  "stop 3f1c5b0a9d27") kill $LAST $CHILD && echo 3f1c5b0a9d27 ;;
  "start 3f1c5b0a9d27") echo 3f1c5b0a9d27 ;;
  *) echo "podman: not known: \$*" >&2; exit 125 ;;
esac
D
ask $A PID=$LAST CHILD=$CHILD
