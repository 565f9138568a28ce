# What every case uses: namespaces, servers, checks, and a clean end.
# Exit status of a case: 0 the situation was made, 1 it was not, 77 it cannot be made here.
set -u
export LC_ALL=C
[ "$(id -u)" = 0 ] || { echo "not here: needs root"; exit 77; }
if [ -z "${CASE_INNER:-}" ]; then CASE_INNER=1 exec timeout -k 5 200 bash "$0"; fi
unset CASE_INNER

LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PY=/usr/bin/python3
NOBODY="setpriv --reuid=65534 --regid=65534 --clear-groups --"   # used unquoted
DIR=$(mktemp -d "${TMPDIR:-/tmp}/case.XXXXXX")
chmod 755 "$DIR"
mkdir -m 1777 "$DIR/ready"
install -m 755 "$LIB/sock.py" "$DIR/sock.py"
PIDS=() SPACES=() UNITS=() COUNT=0

cleanup() {
  local i
  set +u
  exec 2>/dev/null
  declare -F at_exit >/dev/null && at_exit
  for i in "${PIDS[@]}"; do kill -CONT "$i"; kill -9 "$i"; done
  wait
  for i in "${SPACES[@]}"; do ip netns del "$i"; done
  for i in "${UNITS[@]}"; do
    # Who has not ended yet keeps it.
    kill -9 $(cat "$i/cgroup.procs")
    for _ in 1 2 3 4 5 6 7 8 9; do rmdir "$i" && break; sleep 0.1; done
  done
  [ -z "${CASE_PRIVATE_AT:-}" ] || umount -l "$CASE_PRIVATE_AT"
  rm -rf "$DIR"
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP

not_here() { echo "not here: $*"; exit 77; }
for tool in ip setpriv sysctl python3; do command -v $tool >/dev/null || not_here "no $tool"; done

# private DIRECTORY…: what is changed there from here on is seen by this script only, and gone when
# it ends. Right behind the head of a script: it starts anew.
private() {
  local at
  if [ -z "${CASE_PRIVATE:-}" ]; then
    trap - EXIT
    rm -rf "$DIR"
    CASE_PRIVATE=1 CASE_INNER=1 exec unshare -m --propagation private bash "$0"
  fi
  unset CASE_PRIVATE
  mkdir "$DIR/private"
  CASE_PRIVATE_AT=$DIR/private
  mount -t tmpfs none "$DIR/private" || not_here "no tmpfs"
  for at; do
    mkdir -p "$DIR/private/up$at" "$DIR/private/work$at"
    mount -t overlay none "$at" -o "lowerdir=$at,upperdir=$DIR/private/up$at,workdir=$DIR/private/work$at" ||
      not_here "no overlay"
  done
}

# stand_in NAME: what is on standard input becomes the program NAME for the question and its fixes
stand_in() {
  mkdir -p "$DIR/bin"
  cat >"$DIR/bin/$1"
  chmod 755 "$DIR/bin/$1"
  PATH="$DIR/bin:$PATH"
}

# unit NAME: makes the cgroup of a service, $CGROUP/$UNIT; in_unit PID moves a process there
unit() {
  local at
  for at in /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ -e "$at/cgroup.controllers" ] && CGROUP=$at && break
  done
  UNIT=case$$-$1.service
  [ -n "${CGROUP:-}" ] && mkdir "$CGROUP/$UNIT" 2>/dev/null || not_here "no cgroups of version 2 to write to"
  UNITS+=("$CGROUP/$UNIT")
}
in_unit() { echo "$1" >"$CGROUP/$UNIT/cgroup.procs"; }

# netns A B: makes namespaces; each variable gets the name of one
netns() {
  local var name
  for var; do
    name="case$$${var,,}"
    ip netns add "$name" || not_here "no network namespaces"
    SPACES+=("$name")
    ip -n "$name" link set lo up
    tune "$name" net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
    printf -v "$var" %s "$name"
  done
}
inside() { local ns=$1; shift; ip netns exec "$ns" "$@"; }
tune() { local ns=$1; shift; ip netns exec "$ns" sysctl -qw "$@"; }

# veth A B [N]: links two namespaces by devices vN, N is 1: 10.77.N.1 in A, 10.77.N.2 in B
veth() {
  local n=${3:-1}
  ip link add "v$n" netns "$1" type veth peer name "v$n" netns "$2" || not_here "no veth devices"
  ip -n "$1" addr add "10.77.$n.1/24" dev "v$n"
  ip -n "$2" addr add "10.77.$n.2/24" dev "v$n"
  ip -n "$1" link set "v$n" up
  ip -n "$2" link set "v$n" up
}
# rules NS: loads rules of nftables from standard input
rules() {
  command -v nft >/dev/null || not_here "no nft"
  inside "$1" nft -f - || not_here "nft cannot load the rules"
}

# sock NS ACTION…: one bind or connection, one line (see sock.py)
sock() { local ns=$1; shift; inside "$ns" "$PY" "$DIR/sock.py" "$@" 2>&1; }

# spawn NS COMMAND…: runs it in the background; its pid is in LAST
spawn() {
  local ns=$1
  shift
  ip netns exec "$ns" "$@" >"$DIR/out.$((++COUNT))" 2>&1 &
  LAST=$!
  PIDS+=("$LAST")
}
wait_for() {
  local i
  for i in $(seq 2500); do [ -e "$1" ] && return; sleep 0.02; done
  echo "not ready: $1: $(cat "$DIR"/out.* 2>/dev/null)"
  exit 1
}

# serve NS UID PROTO ADDR PORT [OPTIONS]: a server; its pid is in LAST. Options travel in the
# environment, so that the command line does not give the answer away.
serve() {
  local ns=$1 uid=$2 ready="$DIR/ready/$((++COUNT))" as=()
  shift 2
  [ "$uid" = 0 ] || as=(setpriv "--reuid=$uid" "--regid=$uid" --clear-groups --)
  SOCK_ARGS="serve $* --ready $ready" spawn "$ns" ${as[@]+"${as[@]}"} "$PY" "$DIR/sock.py"
  wait_for "$ready"
}

# sure 'PATTERN' OUTPUT: goes on only if the situation is what it should be
sure() { grep -Eq -- "$1" <<<"$2" || { echo "not so: wanted /$1/ in: $2"; exit 1; }; }

# ask NS NAME=VALUE…: everything is in place: runs $ASK there, with the variables
ask() {
  local ns=$1 pair
  shift
  for pair; do export "${pair?}"; done
  export DIR
  [ -n "${ASK:-}" ] || exit 0
  for pair; do echo "$pair"; done
  echo "DIR=$DIR"
  echo "--- answer"
  if [ -n "${KEEP_MOUNTS:-}" ]; then
    # ip netns exec hides the cgroups.
    nsenter "--net=/run/netns/$ns" bash -c "$ASK"
  else
    ip netns exec "$ns" bash -c "$ASK"
  fi
  echo "--- status $?"
  if [ -n "${FIX:-}" ]; then try_fix "$ns"; fi
  exit 0
}

# A case that has a function `served` says with it whether clients get through. They do not before
# fix number $FIX of the answer was typed as it is printed, and do behind it.
try_fix() {
  local ns=$1 command
  if served; then echo "--- it works without a fix"; return; fi
  ip netns exec "$ns" bash -c "$ASK --json" >"$DIR/answer.json"
  "$PY" - "$DIR/answer.json" "$FIX" >"$DIR/fix" <<'P'
import json, sys
fixes = [fix for answer in json.load(open(sys.argv[1]))["answers"] for fix in answer.get("fixes", [])]
print("\n".join([fix for fix in fixes if fix["commands"]][int(sys.argv[2]) - 1]["commands"]))
P
  while read -r command; do
    ip netns exec "$ns" bash -c "$command" </dev/null || { echo "--- failed: $command"; return; }
  done <"$DIR/fix"
  if served; then echo "--- the fix works"; else echo "--- the fix does not help"; fi
}
# gets NS ADDR PORT [OPTIONS]: whether a client there gets an answer
gets() { local ns=$1; shift; grep -q OK <<<"$(sock "$ns" once tcp "$@")"; }
