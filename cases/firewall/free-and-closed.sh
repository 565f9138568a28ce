#!/bin/bash
# The port may be bound, and the firewall would let nobody but this host in.
# asks: portwise why 0.0.0.0:80
# first: yes
# first: this host: reached
# first: the namespace behind v1: silent
# first: inet guard incoming policy is to drop
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT
veth $HOST $CLIENT
rules $HOST <<'N'
table inet guard {
  chain incoming {
    type filter hook input priority filter; policy drop;
    iif lo accept
  }
}
N
ask $HOST
