#!/bin/bash
# Several servers run on "the same port", each on another address: which one answers where.
# asks: portwise reach '*:8080'; echo; portwise list 8080 --netns $NS
# first: 127.0.0.1:8080/tcp listening, pid $ONE
# first: 127.0.0.2:8080/tcp listening, pid $TWO
# first: [::1]:8080/tcp listening, pid $SIX
# first: 10.77.1.1:8080/tcp listening, pid $LAN
# says: 127.0.0.1:8080 - loopback address $ONE
# says: 127.0.0.2:8080 - loopback address $TWO
# says: [::1]:8080 - loopback address $SIX
# says: 10.77.1.1:8080 - LAN address $LAN
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
serve $A 0 tcp 127.0.0.1 8080; one=$LAST
serve $A 0 tcp 127.0.0.2 8080; two=$LAST
serve $A 0 tcp ::1 8080; six=$LAST
serve $A 0 tcp 10.77.1.1 8080; lan=$LAST
ask $A NS=$A ONE=$one TWO=$two SIX=$six LAN=$lan
