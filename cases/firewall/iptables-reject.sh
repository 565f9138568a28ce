#!/bin/bash
# A chain that INPUT calls refuses what it does not know.
# asks: portwise reach 10.77.1.1:8443 --from 10.77.1.2%v1
# first: refused
# first: EHOSTUNREACH
# first: -I SERVICES 2 -p tcp --dport 8443 -j ACCEPT
. "$(dirname "$0")/../lib.sh"
command -v iptables-nft >/dev/null || not_here "no iptables-nft"
netns HOST CLIENT
veth $HOST $CLIENT
inside $HOST iptables-nft -N SERVICES || not_here "no iptables-nft"
inside $HOST iptables-nft -A SERVICES -p tcp --dport 22 -j ACCEPT
inside $HOST iptables-nft -A SERVICES -j REJECT --reject-with icmp-host-prohibited
inside $HOST iptables-nft -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
inside $HOST iptables-nft -A INPUT -j SERVICES
serve $HOST 0 tcp 0.0.0.0 8443
served() { gets $CLIENT 10.77.1.1 8443; }
ask $HOST
