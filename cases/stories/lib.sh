# lib.sh - sourced by every situation script of the portwise acceptance suite.
#
# A script builds one port problem inside network namespaces of its own, checks that the problem is really
# there, and removes everything again. No packet leaves those namespaces.
#
# Run as root. Needs bash, coreutils, util-linux, iproute2, procps and python3; more needs are in each header.
# Exit codes: 0 situation verified, 1 not reproduced on this machine, 77 skipped (tool or kernel feature missing).
#
# PROBE='command' runs that command (bash -c) in the namespace while the situation lasts, with these exported:
#   PW_ID                    name of the script
#   PW_NS                    network namespace the command runs in
#   PW_PROTO PW_ADDR PW_PORT the endpoint the question is about
#   PW_UID                   user id of the program concerned (0 unless the script says otherwise)
#   PW_PID PW_PID2 ...       processes that hold a socket of the case
#   PW_ASKER                 running process that wants the port, for questions with --pid
#   PW_CMD PW_SCRIPT         program concerned and its first argument, for questions with -- CMD
# PW_QUICK=1 ends a script right after its probe, without the checks that follow.
# PW_PYTHON names the python3 to use: a real binary that every user may execute (no wrapper script).

set -u
export LC_ALL=C
[ "$(id -u)" = 0 ] || { echo "SKIP: needs root"; exit 77; }
if [ -z "${PW_INNER:-}" ]; then PW_INNER=1 exec timeout -k 5 "${PW_TIMEOUT:-90}" bash "$0" "$@"; fi
unset PW_INNER

PW_ID=$(basename "$0" .sh)
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PY=${PW_PYTHON:-/usr/bin/python3}
NOBODY="setpriv --reuid=65534 --regid=65534 --clear-groups"   # used unquoted
DIR=$(mktemp -d "${TMPDIR:-/tmp}/pw.XXXXXX")                  # must keep file capabilities: no nosuid, no overlay without xattr
mkdir -m 1777 "$DIR/ready"
chmod 755 "$DIR"
install -m 755 "$HERE/sock.py" "$DIR/sock.py"
ln -s sock.py "$DIR/server.py"                                # without arguments: sleeps, opens nothing
PIDS=() SPACES=() MOUNTS=() FAILED=0 SEEN=0 COUNT=0

cleanup() {
  local i
  set +u
  exec 2>/dev/null
  declare -F at_exit >/dev/null && at_exit   # a script's own cleaning up
  for i in "${PIDS[@]}"; do kill -CONT "$i"; kill -9 "$i"; done
  wait
  for i in "${MOUNTS[@]}"; do umount -l "$i"; done
  for i in "${SPACES[@]}"; do ip netns del "$i"; rm -rf "/etc/netns/$i"; done
  rm -rf "$DIR"
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP

skip() { echo "SKIP: $*"; exit 77; }
need() { local c; for c; do command -v "$c" >/dev/null 2>&1 || skip "missing $c"; done; }

# netns A B ...: make namespaces; each variable named gets the name of its namespace
netns() {
  local var name
  for var; do
    name="pw$$${var,,}"
    ip netns add "$name" || skip "no network namespaces"
    SPACES+=("$name")
    ip -n "$name" link set lo up
    tune "$name" net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
    printf -v "$var" %s "$name"
  done
}
inside() { local ns=$1; shift; ip netns exec "$ns" "$@"; }                 # inside NS CMD...
tune() { local ns=$1; shift; ip netns exec "$ns" sysctl -qw "$@"; }        # tune NS KEY=VALUE...
rules() { inside "$1" nft -f - || skip "nft cannot load the rules"; }      # rules NS <<ruleset
hosts() { mkdir -p "/etc/netns/$1"; printf '%b\n' "$2" >"/etc/netns/$1/hosts"; }   # hosts NS 'lines of /etc/hosts'

# veth A B K: link two namespaces by devices vK: 10.77.K.1 and fdNN:K::1 in A, .2 and ::2 in B
veth() {
  local a=$1 b=$2 k=$3
  ip link add "v$k" netns "$a" type veth peer name "v$k" netns "$b" || skip "no veth devices"
  ip -n "$a" addr add "10.77.$k.1/24" dev "v$k"
  ip -n "$b" addr add "10.77.$k.2/24" dev "v$k"
  ip -n "$a" addr add "fd77:$k::1/64" dev "v$k" nodad
  ip -n "$b" addr add "fd77:$k::2/64" dev "v$k" nodad
  ip -n "$a" link set "v$k" up
  ip -n "$b" link set "v$k" up
  sleep 0.2
}

# sock NS ACTION ... / sock_as NS UID ACTION ...: one bind or connect, printed as one line (see sock.py)
sock() { local ns=$1; shift; inside "$ns" "$PY" "$DIR/sock.py" "$@" 2>&1; }
sock_as() { local ns=$1 uid=$2; shift 2; inside "$ns" setpriv --reuid="$uid" --regid="$uid" --clear-groups -- "$PY" "$DIR/sock.py" "$@" 2>&1; }

# spawn NS CMD...: run in the background; pid in LAST, output in OUT
spawn() {
  local ns=$1
  shift
  OUT="$DIR/out.$((++COUNT))"
  ip netns exec "$ns" "$@" >"$OUT" 2>&1 &
  LAST=$!
  PIDS+=("$LAST")
}
wait_for() { local i; for i in $(seq 200); do [ -e "$1" ] && return 0; sleep 0.05; done; echo "  helper not ready: $(cat "$DIR"/out.* 2>/dev/null)"; FAILED=1; }

# serve NS PROTO ADDR PORT NAME [options of sock.py]: a server that answers NAME; pid in LAST.
# Its options travel in the environment, so that its command line does not give the answer away.
serve() { serve_as "$1" 0 "${@:2}"; }
serve_as() {   # serve_as NS UID PROTO ADDR PORT NAME [options]
  local ns=$1 uid=$2 proto=$3 addr=$4 port=$5 name=$6 ready="$DIR/ready/$((++COUNT))" as=()
  shift 6
  ln -sf sock.py "$DIR/$name.py"
  [ "$uid" = 0 ] || as=(setpriv --reuid="$uid" --regid="$uid" --clear-groups --)
  SOCK_ARGS="serve $proto $addr $port --answer $name --ready $ready $*" spawn "$ns" ${as[@]+"${as[@]}"} "$PY" "$DIR/$name.py"
  wait_for "$ready"
}
# program NAME 'COMMAND LINE': make an executable that replaces itself by that command, silently
program() { printf '#!/bin/bash\nexec %s >/dev/null 2>&1\n' "$2" >"$DIR/$1"; chmod 755 "$DIR/$1"; }

# want / deny 'what it shows' 'regex' "output": check that the output does / does not match
want() {
  if grep -Eq -- "$2" <<<"$3"; then SEEN=$((SEEN + 1)); echo "  ok   $1: $(tr '\n' ';' <<<"$3" | cut -c1-160)"
  else FAILED=1; echo "  MISS $1 (wanted /$2/): $3"; fi
}
deny() {
  if grep -Eq -- "$2" <<<"$3"; then FAILED=1; echo "  MISS $1 (did not want /$2/): $3"
  else SEEN=$((SEEN + 1)); echo "  ok   $1"; fi
}

# situation NS PROTO ADDR PORT [NAME=VALUE ...]: everything is in place; run the probe, if there is one.
# KEEP_MOUNTS=1 enters the network namespace only (ip netns exec also replaces /sys, hiding the cgroup tree).
situation() {
  local pair enter=(ip netns exec "$1")
  [ -z "${KEEP_MOUNTS:-}" ] || enter=(nsenter "--net=/run/netns/$1" --)
  export DIR PW_ID PW_NS=$1 PW_PROTO=$2 PW_ADDR=$3 PW_PORT=$4 PW_UID=0
  shift 4
  for pair; do export "PW_$pair"; done
  [ -n "${PROBE:-}" ] || return 0
  echo "--- probe"
  "${enter[@]}" bash -c "$PROBE"
  echo "--- end probe (rc $?)"
  [ -z "${PW_QUICK:-}" ] || finish
}
finish() {
  if [ "$FAILED" = 0 ] && [ "$SEEN" -gt 0 ]; then echo "VERIFIED $PW_ID ($SEEN checks)"; exit 0; fi
  echo "NOT-VERIFIED $PW_ID"
  exit 1
}
