#!/bin/bash
# Nobody listens: an outgoing connection was given the port as its source port.
# asks: portwise why 0.0.0.0:10254
# first: EADDRINUSE
# first: pid $PID (kubelet)
# first: 10.77.1.2:2379
# first: source port
# says: ip_local_reserved_ports=10254
# not: TIME_WAIT
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
serve $B 0 tcp 0.0.0.0 2379
tune $A net.ipv4.ip_local_port_range="10254 10254"
SOCK_ARGS="connect tcp 10.77.1.2 2379 --hold 190 --comm kubelet --ready $DIR/ready/client" spawn $A "$PY" "$DIR/sock.py"
wait_for "$DIR/ready/client"
tune $A net.ipv4.ip_local_port_range="1024 65535"
sure EADDRINUSE "$(sock $A bind tcp 0.0.0.0 10254)"
ask $A PID=$LAST
