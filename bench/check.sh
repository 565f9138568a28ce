#!/usr/bin/env bash
# What one `portwise check` costs: its system calls, and its time beside `ss -Hltn`.
#
#   bench/check.sh [ROUNDS]
#
# Counts the system calls of a check of a reserved and of a free port, as the user who runs this and,
# if that is root, as uid 65534 too. Then runs check and ss in turn ROUNDS times (default 500) and
# prints the median of each and the ratio. Exit: 0, or 1 above 40 calls, or if check is slower.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$(readlink -f "$0")")/.."
rounds=${1:-500} most=40 status=0

cargo build --quiet --release --locked --bin portwise
# Where every user may run it.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
chmod 1777 "$scratch"
install -m 755 "${CARGO_TARGET_DIR:-target}/release/portwise" "$scratch/portwise"

as() { # UID COMMAND…
    if [ "$1" = "$UID" ]; then "${@:2}"; else
        setpriv --reuid="$1" --regid="$1" --clear-groups "${@:2}"
    fi
}

# Start-up ends with the handlers that Rust's runtime sets just before main: what the loader, libc
# and the runtime do up to there is the same for every program. All that comes later is counted,
# the end of the process included.
calls() { # UID ENDPOINT
    local trace="$scratch/trace.$1"
    as "$1" strace -f -qq -e signal=none -o "$trace" "$scratch/portwise" check "$2" >"$scratch/out" || true
    grep -qF "$2/tcp" "$scratch/out" || return 1
    awk '/ rt_sigaction\(/ { seen = 1; n = 0; next } / [a-z0-9_]+\(/ { n++ }
        END { if (!seen) exit 1; print n }' "$trace"
}

users=("$UID")
if [ "$UID" = 0 ]; then users+=(65534); fi
if ! command -v strace >/dev/null; then
    echo "not run: no strace here"
else
    echo "system calls of one check after start-up (goal: at most $most)"
    for endpoint in 127.0.0.1:80 127.0.0.1:8080; do
        for user in "${users[@]}"; do
            n=$(calls "$user" "$endpoint")
            echo "  check $endpoint as uid $user: $n"
            if [ "$n" -gt "$most" ]; then status=1; fi
        done
    done
    if [ "$UID" != 0 ]; then echo "not run: as another user, which needs root"; fi
fi

if ! command -v ss >/dev/null; then
    echo "not run: no ss here"
    exit "$status"
fi

# Fork, exec and wait of the shell are in both times.
microseconds() {
    local start=$EPOCHREALTIME end
    "$@" >/dev/null || true
    end=$EPOCHREALTIME
    echo $((${end/./} - ${start/./})) >&3
}
for endpoint in 127.0.0.1:80 127.0.0.1:8080; do
    exec 3>/dev/null
    for _ in 1 2 3 4 5; do
        microseconds "$scratch/portwise" check "$endpoint"
        microseconds ss -Hltn
    done
    for ((i = 0; i < rounds; i++)); do
        exec 3>>"$scratch/check $endpoint"
        microseconds "$scratch/portwise" check "$endpoint"
        exec 3>>"$scratch/ss $endpoint"
        microseconds ss -Hltn
    done
    check=$(sort -n "$scratch/check $endpoint" | sed -n "$((rounds / 2 + 1))p")
    ss=$(sort -n "$scratch/ss $endpoint" | sed -n "$((rounds / 2 + 1))p")
    awk -v endpoint="$endpoint" -v rounds="$rounds" -v check="$check" -v ss="$ss" 'BEGIN {
        printf "check %s: %.2f ms, ss -Hltn: %.2f ms, medians of %d in turn, ratio %.2f (goal: at most 1)\n",
            endpoint, check / 1000, ss / 1000, rounds, check / ss
        exit (check > ss)
    }' || status=1
done
exit "$status"
