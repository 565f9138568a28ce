#!/bin/bash
# Several servers on one port: the one on another address is not in the way, the wildcard of another family neither.
# asks: portwise why 127.0.0.1:8080
# first: EADDRINUSE
# first: 127.0.0.1:8080/tcp listening
# first: pid $PID
# first: kill $PID
# says: 127.0.0.2:8080/tcp listening: not in the way: another address
# says: IPv6 only: not in the way: another family
# not: kill $OTHER
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp 127.0.0.2 8080; other=$LAST
serve $A 0 tcp :: 8080 --v6only 1
serve $A 0 tcp 127.0.0.1 8080
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 8080)"
ask $A PID=$LAST OTHER=$other
