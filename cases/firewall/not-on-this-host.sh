#!/bin/bash
# Nothing here stops it; a router on the way does, which cannot be seen from here.
# asks: portwise reach 10.77.1.1:80 --from 10.77.2.2%v1
# first: accepted
# first: pid $PID
# says: outside this host
# says: security group
# says: tcpdump -ni v1 tcp port 80
. "$(dirname "$0")/../lib.sh"
netns HOST ROUTER FAR
veth $HOST $ROUTER
veth $ROUTER $FAR 2
tune $ROUTER net.ipv4.ip_forward=1
ip -n $HOST route add default via 10.77.1.2
ip -n $FAR route add default via 10.77.2.1
rules $ROUTER <<'N'
table ip group {
  chain forward {
    type filter hook forward priority filter; policy drop;
  }
}
N
serve $HOST 0 tcp 0.0.0.0 80
sure TIMEOUT "$(sock $FAR once tcp 10.77.1.1 80 --timeout 1)"
ask $HOST PID=$LAST
