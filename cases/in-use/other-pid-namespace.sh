#!/bin/bash
# Asked as root within a container: the holder is a process outside of its pid namespace.
# asks: unshare -m -p -f --mount-proc portwise why 127.0.0.1:8080
# first: EADDRINUSE
# first: 127.0.0.1:8080/tcp listening
# first: cannot see the holder
# first: outside of this pid namespace
# not: nobody
# not: 0 processes
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp 127.0.0.1 8080
ask $A
