#!/bin/bash
# Somebody gave the capability to a script; only that of its interpreter counts.
# asks: portwise why 0.0.0.0:80 --as 65534 -- $CMD $ARGS
# first: EACCES
# first: $CMD has cap_net_bind_service=ep, without effect
# first: script
# not: in use
. "$(dirname "$0")/../lib.sh"
command -v setcap >/dev/null || not_here "no setcap"
netns A
cp "$(readlink -f "$PY")" "$DIR/python3"
(echo "#!$DIR/python3"; tail -n +2 "$DIR/sock.py") >"$DIR/server"
chmod 755 "$DIR/server"
setcap cap_net_bind_service=ep "$DIR/server" || not_here "no file capabilities here"
ask $A ARGS="" CMD="$DIR/server"
