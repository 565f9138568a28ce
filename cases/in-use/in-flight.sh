#!/bin/bash
# The descriptor of the socket was sent over a Unix socket and closed by the sender, and nobody has received it.
# asks: portwise why 127.0.0.1:8080
# first: EADDRINUSE
# first: on its way
# first: pid $PID
# not: nobody holds
. "$(dirname "$0")/../lib.sh"
netns A
spawn $A "$PY" -c "
import array, socket, time
a, b = socket.socketpair()
s = socket.socket()
s.bind(('127.0.0.1', 8080))
s.listen()
a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [s.fileno()]))])
s.close()
open('$DIR/ready/sent', 'w')
time.sleep(190)"
wait_for "$DIR/ready/sent"
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 8080)"
ask $A PID=$LAST
