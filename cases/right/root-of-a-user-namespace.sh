#!/bin/bash
# "I am root and may not": root of a user namespace that does not own the network (a rootless container on the host network).
# asks: portwise why 0.0.0.0:80 --pid $ASKER
# first: EACCES
# first: does not count here
# first: another user namespace
# not: in use
. "$(dirname "$0")/../lib.sh"
netns A
cat >"$DIR/inner" <<S
#!/bin/bash
exec setpriv --reuid=65534 --regid=65534 --clear-groups unshare -U -r $PY $DIR/sock.py
S
chmod 755 "$DIR/inner"
spawn $A "$DIR/inner"
sleep 0.6
grep -q 'CapEff:.0000000000000000' /proc/$LAST/status && not_here "no user namespaces"
ask $A ASKER=$LAST
