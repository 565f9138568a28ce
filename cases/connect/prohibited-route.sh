#!/bin/bash
# A route of type prohibit answers "permission denied" to connect; nobody looks for it there.
# asks: portwise trace -- $CMD
# first: connect 10.99.0.1:80/tcp: EACCES
# first: of type prohibit
# first: ip route show table all type prohibit
# not: Landlock
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
ip -n $A route add prohibit 10.99.0.0/16
printf '#!/bin/bash\nexec %s %s once tcp 10.99.0.1 80\n' "$PY" "$DIR/sock.py" >"$DIR/client"
chmod 755 "$DIR/client"
sure EACCES "$(inside $A "$DIR/client")"
ask $A CMD="$DIR/client"
