#!/bin/bash
# An ordinary user wants port 80.
# asks: portwise why 0.0.0.0:80 --as 65534
# first: EACCES
# first: net.ipv4.ip_unprivileged_port_start is 1024
# first: another port: 8080 is free
# says: setpriv --reuid=65534
# says: sysctl net.ipv4.ip_unprivileged_port_start=80
# not: in use
. "$(dirname "$0")/../lib.sh"
netns A
sure EACCES "$(inside $A $NOBODY "$PY" "$DIR/sock.py" bind tcp 0.0.0.0 80)"
ask $A
