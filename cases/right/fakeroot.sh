#!/bin/bash
# Under fakeroot the program believes that it is root; the kernel does not.
# asks: portwise why 0.0.0.0:80 --pid $ASKER
# first: EACCES
# first: CAP_NET_BIND_SERVICE is missing
# first: fakeroot is loaded into it
# says: the kernel goes by the real user
. "$(dirname "$0")/../lib.sh"
command -v fakeroot >/dev/null || not_here "no fakeroot"
netns A
cp "$(readlink -f "$PY")" "$DIR/server"
cat >"$DIR/start" <<S
#!/bin/bash
exec setpriv --reuid=65534 --regid=65534 --clear-groups fakeroot -- bash -c 'echo \$\$ >$DIR/ready/pid; exec $DIR/server $DIR/sock.py'
S
chmod 755 "$DIR/start"
HOME=$DIR/ready spawn $A "$DIR/start"
wait_for "$DIR/ready/pid"
sleep 0.5
asker=$(cat "$DIR/ready/pid")
PIDS+=("$asker")
# The daemon that remembers what fakeroot pretends outlives it.
here=$(readlink "/proc/$asker/ns/net")
for process in /proc/[0-9]*; do
    [[ $(cat "$process/comm" 2>/dev/null) != faked* || $(readlink "$process/ns/net") != "$here" ]] ||
        PIDS+=("${process#/proc/}")
done
sure libfakeroot "$(cat "/proc/$asker/maps")"
ask $A ASKER=$asker
