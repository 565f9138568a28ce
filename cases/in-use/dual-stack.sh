#!/bin/bash
# A socket on [::] covers IPv4 too, and no IPv4 listing shows it.
# asks: portwise why 0.0.0.0:12345
# first: EADDRINUSE
# first: pid $PID
# first: [::]:12345
# first: dual stack
# not: TIME_WAIT
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp :: 12345 --v6only 0
sure EADDRINUSE "$(sock $A bind tcp 0.0.0.0 12345)"
ask $A PID=$LAST
