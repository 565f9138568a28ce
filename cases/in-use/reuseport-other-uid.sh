#!/bin/bash
# Both programs set SO_REUSEPORT, but they run as different users.
# asks: portwise why 127.0.0.1:9501 --as 65534
# first: EADDRINUSE
# first: pid $PID
# first: uid 1234
# first: SO_REUSEPORT
# says: same user
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 1234 tcp 127.0.0.1 9501 --reuseport
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 9501 --reuseport)"
ask $A PID=$LAST
