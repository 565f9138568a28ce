#!/bin/bash
# A name server that listens on TCP only, and a client that asks by UDP.
# asks: portwise reach 127.0.0.1:53/udp
# first: refused
# first: no udp socket takes it
# first: pid $PID
# says: it is of tcp
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp 127.0.0.1 53
ask $A PID=$LAST
