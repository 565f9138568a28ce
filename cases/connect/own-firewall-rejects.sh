#!/bin/bash
# A rule of this host rejects what its programs send; the client is told that nobody listens there.
# asks: portwise trace -- $CMD
# first: connect 10.77.1.2:80/tcp: ECONNREFUSED
# first: this host's firewall rejects it: inet own out handle
# says: nft insert rule inet own out tcp dport 80 accept
# not: nobody listens | another network, or something on the way
. "$(dirname "$0")/../lib.sh"
netns A B
veth $A $B
serve $B 0 tcp 0.0.0.0 80
rules $A <<'N'
table inet own {
  chain out {
    type filter hook output priority filter;
    tcp dport 80 reject with tcp reset
  }
}
N
printf '#!/bin/bash\nexec %s %s once tcp 10.77.1.2 80\n' "$PY" "$DIR/sock.py" >"$DIR/client"
chmod 755 "$DIR/client"
sure REFUSED "$(inside $A "$DIR/client")"
served() { gets $A 10.77.1.2 80; }
ask $A CMD="$DIR/client"
