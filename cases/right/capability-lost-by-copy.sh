#!/bin/bash
# The program had a file capability; the deployment copied it, which loses it.
# asks: portwise why 0.0.0.0:443 --as 65534 -- $CMD $ARGS
# first: EACCES
# first: has no capabilities of its own
# first: setcap cap_net_bind_service=ep $CMD
# not: nosuid
. "$(dirname "$0")/../lib.sh"
command -v setcap >/dev/null || not_here "no setcap"
netns A
cp "$(readlink -f "$PY")" "$DIR/old"
setcap cap_net_bind_service=ep "$DIR/old" || not_here "no file capabilities here"
sure OK "$(inside $A $NOBODY "$DIR/old" "$DIR/sock.py" bind tcp 0.0.0.0 443)"
cp "$DIR/old" "$DIR/server"
sure EACCES "$(inside $A $NOBODY "$DIR/server" "$DIR/sock.py" bind tcp 0.0.0.0 443)"
ask $A ARGS="$DIR/sock.py" CMD="$DIR/server"
