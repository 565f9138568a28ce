#!/bin/bash
# Nobody listens any more, but the server closed its connections first, and the kernel remembers them.
# asks: portwise why 127.0.0.1:8080
# first: EADDRINUSE
# first: TIME_WAIT
# first: nobody
# first: SO_REUSEADDR
# says: seconds
# not: held by pid
# not: kill
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp 127.0.0.1 8080 --close-first --reuseaddr
sock $A connect tcp 127.0.0.1 8080 --hold 0.2 >/dev/null
kill "$LAST"
wait "$LAST" 2>/dev/null
sure EADDRINUSE "$(sock $A bind tcp 127.0.0.1 8080)"
sure OK "$(sock $A bind tcp 127.0.0.1 8080 --reuseaddr)"
ask $A
