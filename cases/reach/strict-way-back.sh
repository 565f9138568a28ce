#!/bin/bash
# A client with two ways to this host: its packets come by one, answers would leave by the other.
# asks: portwise reach 10.77.1.1:80 --from 10.99.0.9%v1
# first: silent
# first: rp_filter is strict (1) on v1
# first: leaves by v2
# first: sysctl net.ipv4.conf.v1.rp_filter=2
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT
veth $HOST $CLIENT
veth $HOST $CLIENT 2
ip -n $CLIENT addr add 10.99.0.9/32 dev lo
ip -n $CLIENT route replace 10.77.1.1 dev v1 src 10.99.0.9
ip -n $HOST route add 10.99.0.9 via 10.77.2.2 dev v2
mac=$(inside $HOST cat /sys/class/net/v1/address)
ip -n $CLIENT neigh replace 10.77.1.1 lladdr "$mac" dev v1 nud permanent
tune $CLIENT net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.v1.rp_filter=0 net.ipv4.conf.v2.rp_filter=0
tune $HOST net.ipv4.conf.all.rp_filter=1
serve $HOST 0 tcp 0.0.0.0 80
served() { gets $CLIENT 10.77.1.1 80 --src 10.99.0.9; }
ask $HOST
