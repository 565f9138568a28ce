#!/bin/bash
# A hardened unit denies all ports but its old one; the service was given another, and fails as root too.
# asks: portwise why 0.0.0.0:8443 --pid $ASKER
# first: EPERM
# first: $UNIT
# says: SocketBindDeny=any in /etc/systemd/system/$UNIT.d/hardening.conf keeps $UNIT from this port
# says: SocketBindAllow=tcp:8443
# says: bind4 program
# not: in use
. "$(dirname "$0")/../lib.sh"
private /etc
unit api
netns A
mkdir -p /etc/systemd/system/$UNIT.d
printf '[Service]\nExecStart=%s\nSocketBindAllow=tcp:8080\n' "$DIR/sock.py" >/etc/systemd/system/$UNIT
printf '[Service]\nSocketBindDeny=any\n' >/etc/systemd/system/$UNIT.d/hardening.conf
# What systemd attaches for these two lines, as far as IPv4 goes.
"$PY" "$LIB/cgroup_policy.py" "$CGROUP/$UNIT" 8080 || not_here "no BPF programs for cgroups"
sure EPERM "$(in_unit $BASHPID; sock $A bind tcp 0.0.0.0 8443)"
sure OK "$(in_unit $BASHPID; sock $A bind tcp 0.0.0.0 8080)"
spawn $A "$PY" "$DIR/sock.py"
in_unit $LAST
sleep 0.2
KEEP_MOUNTS=1 ask $A UNIT="$UNIT" ASKER=$LAST
