#!/bin/bash
# A hardened unit denies all ports but its old one; the service was given another, and fails as root too.
# asks: portwise why 0.0.0.0:8443 --pid $ASKER
# first: EPERM
# first: pw-api.service
# says: SocketBindDeny=any in /etc/systemd/system/pw-api.service.d/hardening.conf keeps pw-api.service from this port
# says: SocketBindAllow=tcp:8443
# says: bind4 program
# not: in use
. "$(dirname "$0")/../lib.sh"
private /etc
unit pw-api.service
netns A
mkdir -p /etc/systemd/system/pw-api.service.d
printf '[Service]\nExecStart=%s\nSocketBindAllow=tcp:8080\n' "$DIR/sock.py" >/etc/systemd/system/pw-api.service
printf '[Service]\nSocketBindDeny=any\n' >/etc/systemd/system/pw-api.service.d/hardening.conf
# What systemd attaches for these two lines, as far as IPv4 goes.
"$PY" "$LIB/bind_policy.py" "$CGROUP/pw-api.service" 8080 || not_here "no BPF programs for cgroups"
sure EPERM "$(in_unit pw-api.service $BASHPID; sock $A bind tcp 0.0.0.0 8443)"
sure OK "$(in_unit pw-api.service $BASHPID; sock $A bind tcp 0.0.0.0 8080)"
spawn $A "$PY" "$DIR/sock.py"
in_unit pw-api.service $LAST
sleep 0.2
KEEP_MOUNTS=1 ask $A ASKER=$LAST
