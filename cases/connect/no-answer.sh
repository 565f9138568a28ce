#!/bin/bash
# A rule of this host drops what leaves for the server; the client gives up, and no call ever fails.
# asks: portwise trace -- $CMD
# first: connect 10.77.1.2:80/tcp
# first: no answer came, and the program gave up: this host
# first: firewall drops it: inet own out handle
# first: nft insert rule inet own out tcp dport 80 accept
# not: ECONNREFUSED
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
serve $B 0 tcp 0.0.0.0 80
rules $A <<'N'
table inet own {
  chain out {
    type filter hook output priority filter;
    tcp dport 80 drop
  }
}
N
printf '#!/bin/bash\nexec %s %s once tcp 10.77.1.2 80\n' "$PY" "$DIR/sock.py" >"$DIR/client"
chmod 755 "$DIR/client"
sure TIMEOUT "$(inside $A "$DIR/client")"
ask $A CMD="$DIR/client"
