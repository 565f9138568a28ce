#!/usr/bin/env bash
# How long `portwise reach` takes on a host with many rules, beside `nft -j list ruleset`.
#
#   bench/reach.sh [-n ROUNDS] [-p PORTWISE] [RULES:ELEMENTS…]
#
# As root. Makes a network namespace with a listener, so many rules in a chain of the input hook and a
# set with so many elements, which the last rule asks (default: 200:0 5000:100000 50000:1000000), runs
# both in turn ROUNDS times (default 21 up to 1,000 rules, else 1) and prints medians of wall time, peak memory
# and ratios to nft. What the commands print goes to /dev/null.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$(readlink -f "$0")")/.."
rounds='' portwise=target/release/portwise
while getopts n:p: option; do
    case $option in
        n) rounds=$OPTARG ;;
        p) portwise=$OPTARG ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if [[ $# -eq 0 ]]; then set -- 200:0 5000:100000 50000:1000000; fi
[[ $(id -u) -eq 0 ]] || { echo "not run: it needs root, to make a network namespace"; exit 3; }
for tool in ip nft python3; do
    command -v "$tool" >/dev/null || { echo "not run: no $tool here"; exit 3; }
done
[[ -x $portwise ]] || { echo "not run: no $portwise; cargo build --release makes it"; exit 3; }
portwise=$(readlink -f "$portwise")

space=portwise-bench-$$
scratch=$(mktemp -d)
server=
cleanup() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    ip netns del "$space" 2>/dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP

# The ruleset, and both commands in turn.
cat >"$scratch/ruleset.py" <<'P'
import ipaddress, sys
rules, elements = map(int, sys.argv[1:])
print("table inet bench {")
if elements:
    first = int(ipaddress.ip_address("10.0.0.0"))
    print(" set blocked { type ipv4_addr; elements = {")
    print(",\n".join(str(ipaddress.ip_address(first + 2 * n)) for n in range(elements)))
    print(" } }")
print(" chain in { type filter hook input priority filter; policy accept;")
for n in range(rules - 1):
    print(f"  ip saddr 172.{16 + n // 65536 % 16}.{n // 256 % 256}.{n % 256} tcp dport {1024 + n % 60000} counter drop")
print("  ip saddr @blocked drop" if elements else "  tcp dport 22 accept")
print(" }\n}")
P
cat >"$scratch/turns.py" <<'P'
import os, statistics, subprocess, sys, time
rounds, commands = int(sys.argv[1]), [c.split() for c in sys.argv[2:]]
walls, peaks = [[] for _ in commands], [0] * len(commands)
for _ in range(rounds):
    for at, command in enumerate(commands):
        begun = time.monotonic()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        walls[at].append(time.monotonic() - begun)
        peaks[at] = max(peaks[at], used.ru_maxrss)
        if os.waitstatus_to_exitcode(status) > 1:
            sys.exit(f"{command}: status {status}")
first = statistics.median(walls[0])
for command, wall, peak in zip(commands, walls, peaks):
    wall = statistics.median(wall)
    name = " ".join([os.path.basename(command[0])] + command[1:])
    print(f"{name:34} {wall * 1000:10.1f} {peak / 1024:9.1f} {wall / first:8.2f}")
P

echo "Linux $(uname -r), $(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg), $(date -u '+%F %H:%M') UTC"
nft --version
for load in "$@"; do
    rules=${load%:*} elements=${load#*:}
    ip netns add "$space"
    ip -n "$space" link set lo up
    ip -n "$space" link add v0 type veth peer name v1
    ip -n "$space" addr add 192.0.2.10/24 dev v0
    ip -n "$space" link set v0 up
    ip -n "$space" link set v1 up
    python3 "$scratch/ruleset.py" "$rules" "$elements" | ip netns exec "$space" nft -f -
    ip netns exec "$space" python3 -c 'import socket, time
s = socket.create_server(("0.0.0.0", 80)); time.sleep(100000)' &
    server=$!
    sleep 0.5
    turns=${rounds:-$([[ $rules -gt 1000 ]] && echo 1 || echo 21)}
    printf '\n%s rules, %s elements; medians of %s in turn\n' "$rules" "$elements" "$turns"
    printf '%34s %10s %9s %8s\n' '' 'wall ms' 'MiB' '/ nft'
    ip netns exec "$space" python3 "$scratch/turns.py" "$turns" "nft -j list ruleset" \
        "$portwise reach 192.0.2.10:80 --from 192.0.2.1%v0" "$portwise reach 192.0.2.10:80"
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
    ip netns del "$space"
done
