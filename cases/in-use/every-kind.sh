#!/bin/bash
# Everything that can keep a port, at once: each is listed with its holder; ss and lsof beside it.
# asks: portwise list --all --netns $NS; portwise list --all 9012 --netns $NS2; for port in 9001 9002 9003 9004 9006 9007 9008 9009 9010 9011; do portwise why $port -4; done; portwise why [::]:9005; portwise why 9012 --netns $NS2; portwise why $CLIENT -4; echo "--- ss -tanp"; ss -tanp; echo "--- lsof -nP -i"; lsof -nP -i 2>&1
# says: tcp LISTEN 0.0.0.0:9001 - LAN all-IPv4 $LISTENER
# says: tcp BOUND 127.0.0.1:9002 - loopback address $BOUND
# says: tcp TIME_WAIT 127.0.0.1:9003
# says: tcp LISTEN *:9004 - LAN dual-stack $DUAL
# says: tcp LISTEN [::]:9005 - loopback IPv6-only $V6ONLY
# says: tcp ESTABLISHED 10.77.1.1:$CLIENT 10.77.1.2:9100
# says: tcp LISTEN 0.0.0.0%v1:9006 - LAN all-IPv4 $DEVICE
# says: tcp LISTEN 127.0.0.1:9007 - loopback address $FLIGHT
# says: (in flight to it)
# says: tcp LISTEN 127.0.0.1:9008 - loopback address $ORPHAN
# says: (directory deleted)
# says: tcp LISTEN 127.0.0.1:9009 - loopback address $STOPPED
# says: (stopped)
# says: tcp LISTEN 127.0.0.1:9010 - loopback address $CHILD
# says: tcp LISTEN 127.0.0.1:9011 - loopback address $GROUP
# says: tcp LISTEN 127.0.0.1:9011 - loopback address $GROUP2
# says: tcp LISTEN 0.0.0.0:9012 - LAN all-IPv4 $OTHER
# says: bound, not listening: the address asked for covers 127.0.0.1 too held by pid $BOUND
# says: nobody listens on the port. TIME_WAIT
# says: dual stack (IPv6 and IPv4): it covers every IPv4 address too held by pid $DUAL
# says: IPv6 only held by pid $V6ONLY
# says: bound to v1: a socket on every interface meets it held by pid $DEVICE
# says: on its way to pid $FLIGHT
# says: held by pid $ORPHAN
# says: its directory $GONE was deleted
# says: held by pid $STOPPED
# says: stopped by Ctrl-Z or SIGSTOP
# says: held by pid $CHILD (sleep)
# says: inherited the socket from a server that has ended
# says: held by pid $GROUP
# says: held by pid $GROUP2
# says: uid 1234
# says: kill $GROUP $GROUP2 | kill $GROUP2 $GROUP
# says: held by pid $OTHER
# says: this is about the network namespace `$NS2`
# says: held by pid $CLIENTPID
# says: took it as its source port
# not: nobody holds it. | hidden
. "$(dirname "$0")/../lib.sh"
command -v lsof >/dev/null || lsof() { echo "no lsof here"; }
netns A B
veth $A $B
serve $A 0 tcp 0.0.0.0 9001; listener=$LAST
serve $A 0 tcp 127.0.0.1 9002 --no-listen; bound=$LAST
serve $A 0 tcp 127.0.0.1 9003 --close-first
sock $A connect tcp 127.0.0.1 9003 >/dev/null
sleep 0.2
kill $LAST
wait $LAST 2>/dev/null
serve $A 0 tcp :: 9004 --v6only 0; dual=$LAST
ip -n $A addr flush dev v1 scope link
serve $A 0 tcp :: 9005 --v6only 1; v6only=$LAST
serve $A 0 tcp 0.0.0.0 9006 --dev v1; device=$LAST
serve $B 0 tcp 0.0.0.0 9100
SOCK_ARGS="connect tcp 10.77.1.2 9100 --hold 190 --ready $DIR/ready/client" spawn $A "$PY" "$DIR/sock.py"
wait_for "$DIR/ready/client"
clientpid=$LAST
client=$(inside $A ss -Htn dst 10.77.1.2:9100 | awk '{ sub(/.*:/, "", $4); print $4 }')
spawn $A "$PY" -c "
import array, socket, time
a, b = socket.socketpair()
s = socket.socket()
s.bind(('127.0.0.1', 9007))
s.listen()
a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [s.fileno()]))])
s.close()
open('$DIR/ready/sent', 'w')
time.sleep(190)"
wait_for "$DIR/ready/sent"
flight=$LAST
mkdir "$DIR/release"
(cd "$DIR/release" && SOCK_ARGS="serve tcp 127.0.0.1 9008 --ready $DIR/ready/orphan" inside $A setsid -f "$PY" "$DIR/sock.py" >/dev/null 2>&1)
wait_for "$DIR/ready/orphan"
orphan=$(cat "$DIR/ready/orphan")
PIDS+=("$orphan")
rm -rf "$DIR/release"
serve $A 0 tcp 127.0.0.1 9009; stopped=$LAST
kill -STOP $stopped
inside $A "$PY" -c "
import os, socket, subprocess
s = socket.socket()
s.bind(('127.0.0.1', 9010))
s.listen(5)
s.set_inheritable(True)
null = subprocess.DEVNULL
child = subprocess.Popen(['sleep', '190'], close_fds=False, stdout=null, stderr=null, start_new_session=True)
open('$DIR/ready/child', 'w').write(str(child.pid))
os._exit(0)"
child=$(cat "$DIR/ready/child")
PIDS+=("$child")
serve $A 1234 tcp 127.0.0.1 9011 --reuseport; group=$LAST
serve $A 1234 tcp 127.0.0.1 9011 --reuseport; group2=$LAST
serve $B 0 tcp 0.0.0.0 9012
ask $A NS=$A NS2=$B LISTENER=$listener BOUND=$bound DUAL=$dual V6ONLY=$v6only DEVICE=$device CLIENT=$client \
  CLIENTPID=$clientpid FLIGHT=$flight ORPHAN=$orphan GONE="$DIR/release" STOPPED=$stopped CHILD=$child \
  GROUP=$group GROUP2=$group2 OTHER=$LAST
