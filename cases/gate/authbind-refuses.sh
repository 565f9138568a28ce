#!/bin/bash
# authbind has no file for the port: the program gets EPERM, and makes no call that fails.
# asks: portwise trace -- $CMD
# first: authbind refuses port 80
# first: EPERM
# first: /etc/authbind/byport/80
# not: in use
. "$(dirname "$0")/../lib.sh"
command -v authbind >/dev/null || not_here "no authbind"
netns A
cat >"$DIR/server" <<S
#!/bin/bash
exec setpriv --reuid=65534 --regid=65534 --clear-groups authbind --deep $PY $DIR/sock.py bind tcp 0.0.0.0 80
S
chmod 755 "$DIR/server"
sure EPERM "$(inside $A "$DIR/server")"
ask $A CMD="$DIR/server"
