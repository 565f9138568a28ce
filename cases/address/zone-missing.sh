#!/bin/bash
# A link-local address without its interface.
# asks: portwise why '[fe80::77]:8080'
# first: EINVAL
# first: without its interface
# first: [fe80::77%v1]:8080
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
ip -n $A addr add fe80::77/64 dev v1 nodad
sure EINVAL "$(sock $A bind tcp fe80::77 8080)"
ask $A
