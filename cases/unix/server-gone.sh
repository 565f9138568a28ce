#!/bin/bash
# A client is refused: the file is there, the server is not.
# asks: portwise trace -- $CMD
# first: connect unix:$DIR/app.sock: ECONNREFUSED
# first: nobody listens on it any more
# not: firewall
. "$(dirname "$0")/../lib.sh"
netns A
sock $A bind unix "$DIR/app.sock" 0 >/dev/null
printf '#!/bin/bash\nexec %s %s once unix %s 0\n' "$PY" "$DIR/sock.py" "$DIR/app.sock" >"$DIR/client"
chmod 755 "$DIR/client"
sure ECONNREFUSED "$(inside $A "$DIR/client")"
ask $A CMD="$DIR/client" DIR="$DIR"
