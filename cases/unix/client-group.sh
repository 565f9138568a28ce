#!/bin/bash
# A client may not write to the socket of a server, which its group could.
# asks: portwise trace -- $CMD
# first: connect unix:$DIR/app.sock: EACCES
# first: srw-rw----
# first: make the user a member of group daemon
# first: usermod -aG daemon nobody
# not: firewall
. "$(dirname "$0")/../lib.sh"
private /etc
netns A
serve $A 0 unix "$DIR/app.sock" 0
chgrp daemon "$DIR/app.sock"
chmod 660 "$DIR/app.sock"
cat >"$DIR/client" <<S
#!/bin/bash
exec setpriv --reuid=65534 --regid=65534 --init-groups $PY $DIR/sock.py once unix $DIR/app.sock 0
S
chmod 755 "$DIR/client"
sure EACCES "$(inside $A "$DIR/client")"
ask $A CMD="$DIR/client" DIR="$DIR"
