#!/usr/bin/env bash
# Many binds by many processes with signals every 200 µs, under `trace` and under the broker of
# `run`: no answer may be wrong, and nothing may be lost or left.
#
#   bench/acting-soak.sh [PORTWISE [PROCESSES [BINDS]]]
#
# BINDS (default 6250) by each of PROCESSES (default 32); one in fifty is to fail. portwise may have
# 64 descriptors open, so that it cannot lose any unseen. Needs root; works in a network namespace of
# its own. Exit: 0, 1 if anything was wrong, 3 if not run.
set -euo pipefail
export LC_ALL=C
root=$(dirname "$(readlink -f "$0")")/..
portwise=$(readlink -f "${1:-$root/target/release/portwise}")
processes=${2:-32} binds=${3:-6250}
port=80

if [[ ${PORTWISE_SOAK_INSIDE:-} != 1 ]]; then
    if [[ $(id -u) -ne 0 ]]; then echo "not run: the soak of acting: needs root"; exit 3; fi
    for tool in unshare ip cc; do
        command -v "$tool" >/dev/null || { echo "not run: the soak of acting: no $tool here"; exit 3; }
    done
    PORTWISE_SOAK_INSIDE=1 exec unshare --net --pid --fork --kill-child --mount-proc \
        bash "$0" "$portwise" "$processes" "$binds"
fi

ip link set lo up
scratch=$(mktemp -d)
chmod 755 "$scratch"
trap 'rm -rf "$scratch"' EXIT
cc -O2 -w -pthread -o "$scratch/calls" "$root/crates/portwise/tests/data/calls.c"

# Nothing but this script is left.
alone() {
    local all n
    for ((n = 0; n < 200; n++)); do
        all=(/proc/[0-9]*)
        [[ ${#all[@]} -eq 1 ]] && return
        sleep 0.02
    done
    echo "left: ${all[*]}"
    exit 1
}

status=0
# soak NAME COMMAND…
soak() {
    local name=$1 begin=$EPOCHREALTIME out
    shift
    out=$(ulimit -n 64; "$@") || { echo "$name: status $?: $out"; status=1; return; }
    awk -v name="$name" -v out="$out" -v n=$((processes * binds)) -v begin="$begin" -v end="$EPOCHREALTIME" \
        'BEGIN { printf "%s: %d binds by %s in %.1f s\n", name, n, out, end - begin }'
    [[ $out == "0 processes with a wrong answer" ]] || status=1
    alone
}

endpoints=()
for ((n = 1; n <= processes; n++)); do endpoints+=(-l "127.0.0.$n:$port"); done
soak "under the broker" "$portwise" run -q --user 65534:65534 "${endpoints[@]}" --how broker -- \
    "$scratch/calls" soak "$processes" "$binds" "$port"
soak "under trace" "$portwise" trace -q -o "$scratch/told" -- \
    "$scratch/calls" soak "$processes" "$binds"
# One in fifty fails, and each that fails is told.
wanted=$((processes * ((binds + 49) / 50)))
told=$(grep -c '"event":"failed"' "$scratch/told" || true)
echo "failures told: $told of $wanted"
[[ $told -eq $wanted ]] || status=1
exit $status
