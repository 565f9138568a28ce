#!/bin/bash
# The program is on a file system mounted with nosuid, where file capabilities give nothing.
# asks: portwise why 0.0.0.0:80 --as 65534 -- $CMD $ARGS
# first: EACCES
# first: without effect
# first: nosuid
# says: ambient
. "$(dirname "$0")/../lib.sh"
command -v setcap >/dev/null || not_here "no setcap"
netns A
mkdir "$DIR/vol"
mount -t tmpfs -o mode=755 none "$DIR/vol" || not_here "no tmpfs"
at_exit() { umount -l "$DIR/vol"; }
cp "$(readlink -f "$PY")" "$DIR/vol/server"
setcap cap_net_bind_service=ep "$DIR/vol/server" || not_here "no file capabilities on tmpfs"
mount -o remount,nosuid "$DIR/vol"
sure EACCES "$(inside $A $NOBODY "$DIR/vol/server" "$DIR/sock.py" bind tcp 0.0.0.0 80)"
ask $A ARGS="$DIR/sock.py" CMD="$DIR/vol/server"
