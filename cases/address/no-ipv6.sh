#!/bin/bash
# IPv6 is switched off here, and the server wants ::1.
# asks: portwise why '[::1]:8080'
# first: EADDRNOTAVAIL
# first: no interface has ::1
# says: 127.0.0.1 | IPv6
# not: in use
. "$(dirname "$0")/../lib.sh"
netns A
tune $A net.ipv6.conf.all.disable_ipv6=1
sure EADDRNOTAVAIL "$(sock $A bind tcp ::1 8080)"
ask $A
