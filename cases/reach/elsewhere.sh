#!/bin/bash
# Nobody answers here; the server runs in a network namespace that has only loopback.
# asks: portwise reach 127.0.0.1:8199
# first: refused
# first: no socket is bound to port 8199
# first: in another network namespace
# first: pid $PID
# says: only loopback addresses
. "$(dirname "$0")/../lib.sh"
netns HERE THERE
serve $THERE 0 tcp 0.0.0.0 8199
ask $HERE PID=$LAST
