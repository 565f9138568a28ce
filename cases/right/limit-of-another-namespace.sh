#!/bin/bash
# The limit was lowered on the host; the program runs in a network namespace of its own, which has its own limit.
# asks: portwise why 0.0.0.0:80 --pid $ASKER
# first: EACCES
# first: net.ipv4.ip_unprivileged_port_start is 1024
# says: each has its own
# says: nsenter --net=/proc/$ASKER/ns/net sysctl net.ipv4.ip_unprivileged_port_start=80
. "$(dirname "$0")/../lib.sh"
netns HOST POD
tune $HOST net.ipv4.ip_unprivileged_port_start=0
sure OK "$(inside $HOST $NOBODY "$PY" "$DIR/sock.py" bind tcp 0.0.0.0 80)"
sure EACCES "$(inside $POD $NOBODY "$PY" "$DIR/sock.py" bind tcp 0.0.0.0 80)"
cp "$(readlink -f "$PY")" "$DIR/python3"
spawn $POD $NOBODY "$DIR/python3" "$DIR/sock.py"
sleep 0.3
ask $HOST ASKER=$LAST
