#!/bin/bash
# A published port leads to another host, and this one does not forward.
# asks: portwise reach 10.77.1.1:8080 --from 10.77.1.2%v1
# first: no route
# first: does not forward
# first: sysctl net.ipv4.ip_forward=1
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT BOX
veth $HOST $CLIENT
veth $HOST $BOX 2
ip -n $CLIENT route add default via 10.77.1.1
ip -n $BOX route add default via 10.77.2.1
rules $HOST <<'N'
table ip publish {
  chain pre {
    type nat hook prerouting priority dstnat;
    fib daddr type local tcp dport 8080 dnat to 10.77.2.2:80
  }
}
N
serve $BOX 0 tcp 0.0.0.0 80
served() { gets $CLIENT 10.77.1.1 8080; }
ask $HOST
