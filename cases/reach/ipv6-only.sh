#!/bin/bash
# A server on [::] that is IPv6 only; the client goes to 127.0.0.1.
# asks: portwise reach 127.0.0.1:8080
# first: refused
# first: ECONNREFUSED
# first: pid $PID
# first: IPv6 only
# says: [::1]:8080 reaches it
# not: drop
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp :: 8080 --v6only 1
sure OK "$(sock $A once tcp ::1 8080)"
sure ECONNREFUSED "$(sock $A once tcp 127.0.0.1 8080)"
ask $A PID=$LAST
