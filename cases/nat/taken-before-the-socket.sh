#!/bin/bash
# Port 80 is free to bind, and a NAT rule takes its packets before any socket is asked.
# asks: portwise why 80
# says: the namespace behind v1: sent on to 10.77.2.2:80 by the rule ip publish pre handle
# says: before sockets and the rules of the hook input are asked
# says: this host
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT BOX
veth $HOST $CLIENT
veth $HOST $BOX 2
tune $HOST net.ipv4.ip_forward=1
rules $HOST <<'N'
table ip publish {
  chain pre {
    type nat hook prerouting priority dstnat;
    iifname v1 fib daddr type local tcp dport 80 dnat to 10.77.2.2:80
  }
}
N
ask $HOST
