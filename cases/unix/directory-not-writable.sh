#!/bin/bash
# A server of an ordinary user wants its socket in a directory of root's.
# asks: portwise trace -- $CMD
# first: bind unix:$RUN/app.sock: EACCES
# first: may not make files in the directory
# first: $RUN: drwxr-xr-x root root (mode 755)
# first: install -d -o 65534 -g 65534 -m 755 $RUN/app
# not: NET_BIND_SERVICE
# not: ip_unprivileged_port_start
. "$(dirname "$0")/../lib.sh"
netns A
mkdir -m 755 "$DIR/run"
cat >"$DIR/server" <<S
#!/bin/bash
exec setpriv --reuid=65534 --regid=65534 --clear-groups $PY $DIR/sock.py bind unix $DIR/run/app.sock 0
S
chmod 755 "$DIR/server"
sure EACCES "$(inside $A "$DIR/server")"
ask $A CMD="$DIR/server" RUN="$DIR/run"
