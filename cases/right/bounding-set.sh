#!/bin/bash
# A container without NET_BIND_SERVICE in its bounding set: not even its root may bind port 80.
# asks: portwise why 0.0.0.0:80 --pid $ASKER
# first: EACCES
# first: root
# first: CAP_NET_BIND_SERVICE
# first: bounding set, which lacks
# says: --cap-add=NET_BIND_SERVICE
# not: setcap
. "$(dirname "$0")/../lib.sh"
netns A
sure EACCES "$(inside $A setpriv --bounding-set=-net_bind_service --inh-caps=-net_bind_service "$PY" "$DIR/sock.py" bind tcp 0.0.0.0 80)"
spawn $A setpriv --bounding-set=-net_bind_service --inh-caps=-net_bind_service "$PY" "$DIR/sock.py"
sleep 0.3
ask $A ASKER=$LAST
