#!/bin/bash
# A service with NoNewPrivileges runs a program with a file capability, which then gives nothing.
# asks: portwise why 0.0.0.0:80 --pid $ASKER
# first: EACCES
# first: without effect
# first: no_new_privs
# says: without no_new_privs
. "$(dirname "$0")/../lib.sh"
command -v setcap >/dev/null || not_here "no setcap"
netns A
cp "$(readlink -f "$PY")" "$DIR/server"
setcap cap_net_bind_service=ep "$DIR/server" || not_here "no file capabilities here"
spawn $A $NOBODY setpriv --no-new-privs "$DIR/server" "$DIR/sock.py"
sleep 0.3
sure 'NoNewPrivs:.1' "$(cat /proc/$LAST/status)"
ask $A ASKER=$LAST
