#!/bin/bash
# Other machines are redirected to the server's port; this one's own connections are not.
# asks: portwise reach 127.0.0.1:80
# first: refused
# first: redirect to :8080
# first: pid $PID
# first: do not pass prerouting
# says: nft add chain ip turn output
. "$(dirname "$0")/../lib.sh"
netns HOST CLIENT
veth $HOST $CLIENT
rules $HOST <<'N'
table ip turn {
  chain pre {
    type nat hook prerouting priority dstnat;
    tcp dport 80 redirect to :8080
  }
}
N
serve $HOST 0 tcp 0.0.0.0 8080
served() { gets $HOST 127.0.0.1 80; }
ask $HOST PID=$LAST
