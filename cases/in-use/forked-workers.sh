#!/bin/bash
# A server with workers that it forked: all of them have the socket.
# asks: portwise why 127.0.0.1:8000
# first: EADDRINUSE
# first: pid $PID
# first: pid $PID2
# says: same socket
# says: kill $PID $PID2
. "$(dirname "$0")/../lib.sh"
netns A
spawn $A "$PY" -c "
import os, socket, time
s = socket.socket()
s.bind(('127.0.0.1', 8000))
s.listen()
child = os.fork()
if child:
    open('$DIR/ready/child', 'w').write(str(child))
time.sleep(190)"
server=$LAST
wait_for "$DIR/ready/child"
child=$(cat "$DIR/ready/child")
PIDS+=("$child")
ask $A PID=$server PID2=$child
