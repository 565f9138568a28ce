#!/usr/bin/env bash
# What the ways of `run` and `trace` cost beside authbind and strace, in one run on one machine.
#
#   bench/acting.sh [PORTWISE [BINDS]]
#
# Prints nanoseconds for a bind and for another call (getppid), the least of a hundred rounds of
# together five times BINDS (default 5000; a fifth of that for the slow ones), and milliseconds to
# start a program that does nothing, the middle of 21, each with its ratio. "filter" is the smallest
# seccomp filter that there is, which allows everything. Needs root, and a port limit above 80; works in a
# network namespace of its own. Exit: 0, 1 if a ratio is beyond what it may be, 3 if not run.
set -euo pipefail
export LC_ALL=C
root=$(dirname "$(readlink -f "$0")")/..
portwise=$(readlink -f "${1:-$root/target/release/portwise}")
binds=${2:-5000}
port=80

if [[ ${PORTWISE_BENCH_INSIDE:-} != 1 ]]; then
    if [[ $(id -u) -ne 0 ]]; then echo "not run: the cost of acting: needs root"; exit 3; fi
    for tool in unshare authbind strace ip cc; do
        command -v "$tool" >/dev/null || { echo "not run: the cost of acting: no $tool here"; exit 3; }
    done
    PORTWISE_BENCH_INSIDE=1 exec unshare --net bash "$0" "$portwise" "$binds"
fi

ip link set lo up
scratch=$(mktemp -d)
chmod 755 "$scratch"
byport=/etc/authbind/byport/$port
made=
trap 'rm -rf "$scratch"; [[ -z $made ]] || rm -f "$byport"' EXIT
cc -O2 -w -pthread -o "$scratch/calls" "$root/crates/portwise/tests/data/calls.c"
[[ -e $byport ]] || { made=1; install -m 500 -o nobody /dev/null "$byport"; }

nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
declare -A way=(
    [plain]=""
    [filter]="$scratch/calls filtered"
    [cgroup]="$portwise run -q --user 65534:65534 -l 127.0.0.1:$port --how cgroup --"
    [broker]="$portwise run -q --user 65534:65534 -l 127.0.0.1:$port --how broker --"
    [authbind]="${nobody[*]} authbind --deep"
    [trace]="$portwise trace -q --"
    [strace]="strace --seccomp-bpf -f -e trace=bind -o /dev/null"
)
order=(plain filter cgroup broker authbind trace strace)

declare -A bind other start
for name in "${order[@]}"; do
    n=$binds
    case $name in authbind) n=$((binds / 25)) ;; trace | strace) n=$((binds / 5)) ;; esac
    # Twice, and the better one: the machine does other things too.
    best="" other[$name]=999999999
    for _ in 1 2; do
        # shellcheck disable=SC2086  # words
        read -r ns rest < <(${way[$name]} "$scratch/calls" cost "$port" "$n")
        [[ -n $best && $best -le $ns ]] || best=$ns
        [[ ${other[$name]} -le $rest ]] || other[$name]=$rest
    done
    bind[$name]=$best
    times=()
    for _ in {1..21}; do
        begin=${EPOCHREALTIME/./}
        # shellcheck disable=SC2086
        ${way[$name]} /bin/true
        times+=($((${EPOCHREALTIME/./} - begin)))
    done
    start[$name]=$(printf '%s\n' "${times[@]}" | sort -n | sed -n 11p)
done

status=0
printf '%-9s %10s %7s %10s %7s %9s\n' "" "bind ns" "ratio" "getppid ns" "ratio" "start ms"
for name in "${order[@]}"; do
    awk -v name="$name" -v b="${bind[$name]}" -v pb="${bind[plain]}" -v o="${other[$name]}" \
        -v po="${other[plain]}" -v s="${start[$name]}" \
        'BEGIN { printf "%-9s %10d %7.2f %10d %7.2f %9.2f\n", name, b, b / pb, o, o / po, s / 1000 }'
done

# at_most WHAT VALUE OF FACTOR
at_most() {
    awk -v what="$1" -v value="$2" -v of="$3" -v factor="$4" 'BEGIN {
        printf "%s: %.3f, at most %.3f%s\n", what, value / of, factor, value <= of * factor ? "" : ": NO"
        exit (value > of * factor)
    }' || status=1
}
at_most "bind by cgroup beside plain" "${bind[cgroup]}" "${bind[plain]}" 1.3
at_most "bind by broker beside authbind" "${bind[broker]}" "${bind[authbind]}" 0.04
at_most "bind under trace beside strace" "${bind[trace]}" "${bind[strace]}" 1
# Whoever has a filter pays for it at every call, whatever it says: the kernel's price, of which
# the one that allows everything gives the measure.
at_most "other calls under cgroup" "${other[cgroup]}" "${other[plain]}" 1.05
for name in broker trace; do
    at_most "other calls under $name beside any filter" "${other[$name]}" "${other[filter]}" 1.05
done
at_most "start by cgroup beside authbind" "${start[cgroup]}" "${start[authbind]}" 1
at_most "start of trace beside strace" "${start[trace]}" "${start[strace]}" 1
exit $status
