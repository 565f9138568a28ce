#!/bin/bash
# Several listeners, each with another audience.
# asks: portwise list
# says: 127.0.0.1:7001 - loopback address $LO
# says: 10.77.1.1:7002 - LAN address
# says: 0.0.0.0:7003 - every-network all-IPv4
# says: *:7004 - every-network dual-stack
# says: [::]:7006 - LAN IPv6-only
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
ip -n $A route add default via 10.77.1.2
ip -n $A addr add fd77::1/64 dev v1 nodad
serve $A 0 tcp 127.0.0.1 7001
lo=$LAST
serve $A 0 tcp 10.77.1.1 7002
serve $A 0 tcp 0.0.0.0 7003
serve $A 0 tcp :: 7004
serve $A 0 tcp :: 7006 --v6only 1
ask $A LO=$lo
