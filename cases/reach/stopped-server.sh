#!/bin/bash
# Somebody pressed Ctrl-Z: the port is open, clients connect, and nobody answers.
# asks: portwise reach 127.0.0.1:8080
# first: fails
# first: pid $PID
# first: SIGSTOP
# first: get no answer
# first: kill -CONT $PID
# not: firewall
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp 0.0.0.0 8080
kill -STOP $LAST
served() { gets $A 127.0.0.1 8080; }
served && not_here "it answers"
ask $A PID=$LAST
