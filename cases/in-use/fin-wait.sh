#!/bin/bash
# The server has ended while clients still had their connections open: the kernel waits for them.
# asks: portwise why 127.0.0.1:8080
# first: EADDRINUSE
# first: no program has it open any more
# says: FIN_WAIT
# says: fix another port | wait
# says: seconds, until the kernel ends the connection
# not: kill
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp 127.0.0.1 8080
server=$LAST
SOCK_ARGS="connect tcp 127.0.0.1 8080 --hold 190 --ready $DIR/ready/client" spawn $A "$PY" "$DIR/sock.py"
wait_for "$DIR/ready/client"
kill -9 $server
wait $server 2>/dev/null
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 8080)"
ask $A
