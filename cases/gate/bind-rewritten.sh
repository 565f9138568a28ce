#!/bin/bash
# A BPF program of the cgroup puts 127.0.0.1 in the place of the address that the server asks for; it believes that it listens everywhere.
# asks: portwise reach 10.77.1.1:8081 --from 10.77.1.2%v1
# first: refused
# says: 127.0.0.1:8081/tcp listening, pid $PID
# says: it takes only what is sent to 127.0.0.1
# says: its cgroup /$UNIT has a BPF program on bind
# says: may have put this address in the place
. "$(dirname "$0")/../lib.sh"
unit rewritten
netns A B
veth $A $B
"$PY" "$LIB/cgroup_policy.py" "$CGROUP/$UNIT" 127.0.0.1 || not_here "no BPF programs for cgroups"
spawn $A bash -c "sleep 0.5; exec $PY $DIR/sock.py serve tcp 0.0.0.0 8081 --ready $DIR/ready/on"
in_unit $LAST
wait_for "$DIR/ready/on"
sure '127.0.0.1:8081' "$(inside $A ss -Hltn)"
KEEP_MOUNTS=1 ask $A UNIT="$UNIT" PID=$LAST
