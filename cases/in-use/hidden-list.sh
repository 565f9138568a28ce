#!/bin/bash
# An ordinary user lists sockets of others: none is called free or nobody's.
# asks: $NOBODY portwise list 8080; $NOBODY portwise why 127.0.0.1:8080
# says: hidden from you
# says: sudo portwise list
# says: cannot see
# not: nobody holds
# not: no process
# not: 8080 is free
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 1234 tcp 127.0.0.1 8080
ask $A "NOBODY=$NOBODY"
