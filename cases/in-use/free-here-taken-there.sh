#!/bin/bash
# The port is free here; a container in a network namespace of its own has it, which is no conflict.
# asks: portwise why 8090
# first: yes
# says: in another network namespace
# says: pid $PID
# says: not in the way
. "$(dirname "$0")/../lib.sh"
netns HERE THERE
serve $THERE 0 tcp 0.0.0.0 8090
sure OK "$(sock $HERE bind tcp 0.0.0.0 8090)"
ask $HERE PID=$LAST
