#!/bin/bash
# The container was made anew and has another address; the rule still sends to the old one.
# asks: portwise reach 10.77.1.1:8080 --from 10.77.1.2%v1
# first: fails
# first: 10.77.42.7:80
# first: no network namespace of this machine has
# says: DNAT
# not: outside this host
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT BOX
veth $HOST $CLIENT
veth $HOST $BOX 42
tune $HOST net.ipv4.ip_forward=1
ip -n $CLIENT route add default via 10.77.1.1
ip -n $BOX route add default via 10.77.42.1
rules $HOST <<'N'
table ip publish {
  chain pre {
    type nat hook prerouting priority dstnat;
    fib daddr type local tcp dport 8080 dnat to 10.77.42.7:80
  }
}
N

serve $BOX 0 tcp 0.0.0.0 80
sure 'TIMEOUT|EHOSTUNREACH' "$(sock $CLIENT once tcp 10.77.1.1 8080)"
ask $HOST PID=$LAST
