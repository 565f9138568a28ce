#!/bin/bash
# An ordinary user asks about a port that another user holds: the process is not shown to them.
# asks: $NOBODY portwise why '[::]:80'
# first: EADDRINUSE
# first: uid 1234
# first: cannot see
# says: sudo
# not: nobody holds
# not: is free on
. "$(dirname "$0")/../lib.sh"
netns A
tune $A net.ipv4.ip_unprivileged_port_start=0
serve $A 1234 tcp :: 80
sure EADDRINUSE "$(sock $A bind tcp :: 80)"
ask $A "NOBODY=$NOBODY"
