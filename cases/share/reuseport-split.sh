#!/bin/bash
# An old and a new copy of a server both set SO_REUSEPORT: clients get the one or the other.
# asks: portwise reach 127.0.0.1:8022; echo; portwise why 127.0.0.1:8022
# first: pid $OLD
# first: pid $NEW
# first: SO_REUSEPORT
# says: spreads new connections
# says: spreads connections
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp 127.0.0.1 8022 --reuseport; old=$LAST
serve $A 0 tcp 127.0.0.1 8022 --reuseport; new=$LAST
ask $A OLD=$old NEW=$new
