#!/bin/bash
# The client takes the first address of localhost only, and the server is on the other.
# asks: portwise trace -- $CLIENT
# first: connect [::1]:3306/tcp
# first: ECONNREFUSED
# first: 127.0.0.1:3306/tcp (pid $PID
# first: localhost has addresses of two families
. "$(dirname "$0")/../lib.sh"
netns A
mkdir -p "/etc/netns/$A"
printf '127.0.0.1 localhost\n::1 localhost\n' >"/etc/netns/$A/hosts"
at_exit() { rm -rf "/etc/netns/$A"; }
serve $A 0 tcp 127.0.0.1 3306
pid=$LAST
cat >"$DIR/client" <<P
#!$PY
import socket
family, kind, protocol, _, address = socket.getaddrinfo("localhost", 3306, type=socket.SOCK_STREAM)[0]
try:
    socket.socket(family, kind, protocol).connect(address)
except OSError:
    pass
P
chmod 755 "$DIR/client"
ask $A PID=$pid CLIENT="$DIR/client"
