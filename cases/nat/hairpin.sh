#!/bin/bash
# A container reaches the published port of its neighbour by the host's address: the answer takes
# the short way back, past the host that would translate it.
# asks: portwise reach 10.77.5.1:8443 --from 10.77.5.2%br0
# first: fails
# first: hairpin
# first: goes directly to 10.77.5.2
# first: DNAT
# says: ip saddr 10.77.5.0/24 ip daddr 10.77.5.3 tcp dport 8443 masquerade
# says: pid $PID
. "$(dirname "$0")/../lib.sh"
netns HOST ONE TWO
ip -n $HOST link add br0 type bridge || not_here "no bridges"
ip -n $HOST addr add 10.77.5.1/24 dev br0
ip -n $HOST link set br0 up
n=2
for box in $ONE $TWO; do
  ip link add "p$n" netns $HOST type veth peer name eth0 netns $box
  ip -n $HOST link set "p$n" master br0 up
  ip -n $box addr add 10.77.5.$n/24 dev eth0
  ip -n $box link set eth0 up
  ip -n $box route add default via 10.77.5.1
  n=$((n + 1))
done
tune $HOST net.ipv4.ip_forward=1
tune $HOST net.bridge.bridge-nf-call-iptables=0 2>/dev/null
rules $HOST <<'N'
table ip publish {
  chain pre {
    type nat hook prerouting priority dstnat;
    fib daddr type local tcp dport 8443 dnat to 10.77.5.3:8443
  }
  chain post {
    type nat hook postrouting priority srcnat;
  }
}
N
serve $TWO 0 tcp 0.0.0.0 8443
server=$LAST
for i in $(seq 100); do gets $ONE 10.77.5.3 8443 && break; done
served() { gets $ONE 10.77.5.1 8443; }
ask $HOST PID=$server
