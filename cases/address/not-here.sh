#!/bin/bash
# A server is configured with the public address of its cloud machine, which the machine itself does not have.
# asks: portwise why 203.0.113.7:8080
# first: EADDRNOTAVAIL
# first: the address is not one of this host's
# first: 10.77.1.1 (v1)
# first: 0.0.0.0:8080
# not: in use
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
sure EADDRNOTAVAIL "$(sock $A bind tcp 203.0.113.7 8080)"
ask $A
