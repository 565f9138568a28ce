#!/bin/bash
# The port is published, and the server inside the container listens on 127.0.0.1, its own loopback.
# asks: portwise reach 10.77.1.1:8080 --from 10.77.1.2%v1
# first: fails
# first: sent on to 10.77.41.2:80
# first: refused there
# says: there listens 127.0.0.1:80, pid $PID
# says: DNAT
# says: listen on 0.0.0.0 inside
# not: drop
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT BOX
veth $HOST $CLIENT
veth $HOST $BOX 41
tune $HOST net.ipv4.ip_forward=1
ip -n $CLIENT route add default via 10.77.1.1
ip -n $BOX route add default via 10.77.41.1
rules $HOST <<'N'
table ip publish {
  chain pre {
    type nat hook prerouting priority dstnat;
    fib daddr type local tcp dport 8080 dnat to 10.77.41.2:80
  }
}
N

serve $BOX 0 tcp 127.0.0.1 80
sure ECONNREFUSED "$(sock $CLIENT once tcp 10.77.1.1 8080)"
ask $HOST PID=$LAST
