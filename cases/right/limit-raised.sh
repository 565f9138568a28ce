#!/bin/bash
# A hardened host has raised the limit: a plain user may not have port 8080 either.
# asks: portwise why 0.0.0.0:8080 --as 65534
# first: EACCES
# first: net.ipv4.ip_unprivileged_port_start is 9000
# first: another port: 9000 is free
# says: sysctl net.ipv4.ip_unprivileged_port_start=8080
. "$(dirname "$0")/../lib.sh"
netns A
tune $A net.ipv4.ip_unprivileged_port_start=9000
sure EACCES "$(inside $A $NOBODY "$PY" "$DIR/sock.py" bind tcp 0.0.0.0 8080)"
ask $A
