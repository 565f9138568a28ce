#!/bin/bash
# A proxy that is not there any more stands in the environment; the client asks it even for a server on this host.
# asks: portwise trace -- $CMD
# first: connect 127.0.0.1:3128/tcp: ECONNREFUSED
# first: nothing listens on port 3128
# first: http_proxy=http://127.0.0.1:3128
# first: no_proxy
. "$(dirname "$0")/../lib.sh"
command -v curl >/dev/null || not_here "no curl"
netns A
serve $A 0 tcp 127.0.0.1 8080
printf '#!/bin/bash\nexport http_proxy=http://me:secret@127.0.0.1:3128\nexec curl -s -m 3 http://127.0.0.1:8080/\n' >"$DIR/client"
chmod 755 "$DIR/client"
ask $A CMD="$DIR/client"
