#!/bin/bash
# A listener on one address gets what is sent there, whatever is bound to all of them.
# asks: portwise why --reuseaddr 0.0.0.0:8080
# says: 10.77.1.1:8080
# says: gets it
# says: pid $PID
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT
veth $HOST $CLIENT
serve $HOST 0 tcp 10.77.1.1 8080 --reuseport
ask $HOST PID=$LAST
