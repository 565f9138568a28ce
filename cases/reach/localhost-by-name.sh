#!/bin/bash
# A development server listens on one address of localhost; some clients try the other.
# asks: portwise reach localhost:3000
# first: localhost stands for ::1, then 127.0.0.1
# first: served by 127.0.0.1: clients that try one after the other
# first: not served, by ::1: clients that try only the first
# says: pid $PID
. "$(dirname "$0")/../lib.sh"
netns A
mkdir -p "/etc/netns/$A"
printf '127.0.0.1 localhost\n::1 localhost\n' >"/etc/netns/$A/hosts"
at_exit() { rm -rf "/etc/netns/$A"; }
serve $A 0 tcp 127.0.0.1 3000
ask $A PID=$LAST
