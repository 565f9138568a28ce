#!/bin/bash
# The server listens and does not accept: its queue is full, and clients time out.
# asks: portwise reach 127.0.0.1:8080
# first: silent
# first: pid $PID
# first: its accept queue is full
# says: net.core.somaxconn
. "$(dirname "$0")/../lib.sh"
netns A
serve $A 0 tcp 127.0.0.1 8080 --no-accept --backlog 1
for i in 1 2 3; do
  SOCK_ARGS="connect tcp 127.0.0.1 8080 --hold 190" spawn $A "$PY" "$DIR/sock.py"
done
for i in $(seq 100); do [ "$(inside $A ss -Htln | awk '{ print $2 }')" -gt 1 ] && break; sleep 0.05; done
ask $A PID=$(cat "$DIR"/ready/*)
