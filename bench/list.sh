#!/usr/bin/env bash
# How fast `portwise list` and `why PORT` find sockets and their holders, beside ss, lsof and netstat.
#
#   bench/list.sh [-n ROUNDS] [-p PORTWISE] [LOAD…]
#
# As root. Makes each LOAD (default: a b t c d) in a network namespace of its own with bench/load.py,
# runs the commands in turn ROUNDS times (default 7; 30 for a and b) and prints for each: medians of
# wall time and processor time, peak memory, and ratios to `ss -Hltnp`. What a command prints goes to
# /dev/null.
#
#   a  the processes of this machine and one listener
#   b  1,000 listeners in 50 processes
#   t  10,000 listeners in 50 processes
#   c  the same and 2,000 idle processes with 20 open files each
#   d  50,000 connections, both ends here
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$(readlink -f "$0")")/.."
rounds='' portwise=''
while getopts n:p: option; do
    case $option in
        n) rounds=$OPTARG ;;
        p) portwise=$OPTARG ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if [[ $# -eq 0 ]]; then set -- a b t c d; fi
[[ $(id -u) -eq 0 ]] || { echo "not run: it needs root, as the holders of others are looked for"; exit 3; }
if [[ -z $portwise ]]; then
    cargo build --quiet --release --locked --bin portwise
    portwise=${CARGO_TARGET_DIR:-target}/release/portwise
fi
portwise=$(readlink -f "$portwise")
echo "$(uname -sr), $(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg), $(date -u +%F\ %H:%M) UTC"
ss -V

for load in "$@"; do
    case $load in
        a) what="1 1 0 0 0" many=30 ;;
        b) what="50 20 0 0 0" many=30 ;;
        t) what="50 200 0 0 0" many=7 ;;
        c) what="50 200 2000 20 0" many=7 ;;
        d) what="0 0 0 0 50000" many=7 ;;
        *) echo "list.sh: no load $load" >&2; exit 2 ;;
    esac
    # shellcheck disable=SC2086  # The load is several words.
    unshare --net bench/list.py "$load" "${rounds:-$many}" "$portwise" $what
done
