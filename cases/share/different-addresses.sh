#!/bin/bash
# Several servers run on "the same port", each on another address, and none conflicts with another.
# asks: portwise list 8080
# says: 127.0.0.1:8080
# says: $ONE
# says: 127.0.0.2:8080
# says: $TWO
# says: [::1]:8080
# says: $SIX
# says: 10.77.1.1:8080
# says: $LAN
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
serve $A 0 tcp 127.0.0.1 8080; one=$LAST
serve $A 0 tcp 127.0.0.2 8080; two=$LAST
serve $A 0 tcp ::1 8080; six=$LAST
serve $A 0 tcp 10.77.1.1 8080; lan=$LAST
ask $A ONE=$one TWO=$two SIX=$six LAN=$lan
