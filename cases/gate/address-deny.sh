#!/bin/bash
# A unit with IPAddressDeny=any: the server listens, no rule of the firewall is in the way, and clients time out.
# asks: portwise reach 10.77.1.1:80 --from 10.77.1.2%v1
# first: accepted
# first: pid $PID
# first: IPAddressDeny=any in /etc/systemd/system/$UNIT
# says: except for IPAddressAllow=localhost
# says: ingress program
. "$(dirname "$0")/../lib.sh"
private /etc
unit closed
netns A B
veth $A $B
mkdir -p /etc/systemd/system
printf '[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost\n' >/etc/systemd/system/$UNIT
# What systemd attaches for these two lines, as far as clients elsewhere are concerned.
"$PY" "$LIB/cgroup_policy.py" "$CGROUP/$UNIT" drop || not_here "no BPF programs for cgroups"
spawn $A bash -c "sleep 0.5; exec $PY $DIR/sock.py serve tcp 0.0.0.0 80 --ready $DIR/ready/on"
in_unit $LAST
wait_for "$DIR/ready/on"
sure TIMEOUT "$(sock $B once tcp 10.77.1.1 80)"
KEEP_MOUNTS=1 ask $A UNIT="$UNIT" PID=$LAST
