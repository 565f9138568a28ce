#!/bin/bash
# Two UDP programs of different users have the same port with SO_REUSEADDR; the first one hears nothing any more.
# asks: portwise reach 127.0.0.1:5353/udp
# first: accepted
# first: pid $PID2
# first: pid $PID
# first: SO_REUSEADDR
# first: the one bound last
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 udp 0.0.0.0 5353 --reuseaddr
first=$LAST
serve $A 1234 udp 0.0.0.0 5353 --reuseaddr
ask $A PID=$first PID2=$LAST
