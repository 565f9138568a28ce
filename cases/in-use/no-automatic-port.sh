#!/bin/bash
# Port 0 is asked for, and every port of the automatic range is taken.
# asks: portwise why 127.0.0.1:0
# first: EADDRINUSE
# first: no port of the automatic range is free
# says: 40000 to 40003
# says: list 40000-40003 --all
# says: another port: 8000 is free
. "$(dirname "$0")/../lib.sh"
netns A
tune $A net.ipv4.ip_local_port_range="40000 40003"
for port in 40000 40001 40002 40003; do serve $A 0 tcp 127.0.0.1 $port; done
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 0)"
ask $A
