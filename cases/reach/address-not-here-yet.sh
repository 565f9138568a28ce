#!/bin/bash
# The server listens, but on an address that the host does not have: one that is to move here.
# asks: portwise reach 10.9.9.9:8082
# first: no route
# first: 10.9.9.9:8082/tcp listening, pid $PID
# first: 10.9.9.9 is no address of this host
# says: ip address add 10.9.9.9/32 dev lo
# says: IP_FREEBIND
# not: firewall
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
tune $A net.ipv4.ip_nonlocal_bind=1
serve $A 0 tcp 10.9.9.9 8082
sure ENETUNREACH "$(sock $A once tcp 10.9.9.9 8082)"
ask $A PID=$LAST
