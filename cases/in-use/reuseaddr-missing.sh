#!/bin/bash
# The old server had SO_REUSEADDR and left connections; the new one has not set it.
# asks: portwise why 127.0.0.1:8080
# first: EADDRINUSE
# first: TIME_WAIT
# first: with SO_REUSEADDR on both
# says: wait
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp 127.0.0.1 8080 --close-first --reuseaddr
for i in 1 2 3; do sock $A connect tcp 127.0.0.1 8080 >/dev/null; done
sleep 0.2
kill $LAST
wait $LAST 2>/dev/null
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 8080)"
ask $A
