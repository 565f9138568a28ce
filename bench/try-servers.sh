#!/usr/bin/env bash
# `portwise try` with php's own server at six addresses and curl as client, in a private network with
# addresses of a LAN: as another user, and as a user who is not root at all.
#
#   bench/try-servers.sh PORTWISE UID          (as root)
#
# Port 80 is refused six times; on port 8080 six servers are reached from where they should be and
# from nowhere else; with the limit of reserved ports at 80, six servers listen on port 80. All of it
# predicted. Exit: 0, or 1 with the answer that is not so.
set -euo pipefail
export LC_ALL=C
portwise=$(readlink -f "$1") user=$2

if [[ ${PORTWISE_SERVERS_INSIDE:-} != 1 ]]; then
    PORTWISE_SERVERS_INSIDE=1 exec unshare --net bash "$0" "$portwise" "$user"
fi
ip link set lo up
ip link add lan0 type veth peer name lan1
ip link set lan0 up
ip link set lan1 up
ip addr add 192.0.2.10/24 dev lan0
ip addr add 2001:db8::10/64 dev lan0 nodad
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
cd "$scratch"

judge=$(cat <<'PYTHON'
import json, sys
bind, listens, table = sys.argv[1], sys.argv[2] == "listens", sys.argv[3:]
told = json.load(sys.stdin)
def fail(what, where): sys.exit(f"{what}: {json.dumps(where, indent=1)}")
if told["summary"]["disagree"] or told["summary"]["open"]: fail("not as predicted", told)
if len(told["answers"]) != 6: fail("not six answers", told)
for answer, reached in zip(told["answers"], table):
    server = answer["server"]
    if answer["observed"]["outcome"] != bind or not answer["agrees"]: fail(f"not {bind}", answer)
    if (len(server["listens"]) == 1) != listens: fail("the server", answer)
    if not listens:
        if "Permission denied" not in server["said"]: fail("the server's words", answer)
        continue
    if answer["client"]["status"] != 0: fail("curl", answer)
    by_name = {v["name"]: (v["from"], v["ip"]) for v in told["vantages"]}
    for cell in answer["cells"]:
        who, ip = by_name[cell["vantage"]]
        if ip.startswith("fe80"): continue
        kind = {"127.0.0.1": "a", "::1": "b", "192.0.2.10": "c", "2001:db8::10": "d"}[ip]
        expected = "connected" if kind in reached else "refused"
        if cell["observed"]["outcome"] != expected: fail(f"not {expected}", cell)
    if {who for who, ip in by_name.values()} != {"host", "neighbour", "far"}: fail("vantages", told)
PYTHON
)

# run PORT BIND SERVER REACHED…: as the user itself, and as root on its behalf.
run() {
    local port=$1 hosts=(127.0.0.1 '[::1]' 192.0.2.10 '[2001:db8::10]' 0.0.0.0 '[::]')
    local asked=("${hosts[@]/%/:$port}")
    # shellcheck disable=SC1083
    local rest=(-q --json --client 'curl -sS http://{endpoint}/' -- php -S {addr}:{port})
    shift
    setpriv --reuid="$user" --regid="$user" --clear-groups \
        "$portwise" try "${asked[@]}" "${rest[@]}" | python3 -c "$judge" "$@"
    "$portwise" try "${asked[@]}" --as "$user:$user" "${rest[@]}" | python3 -c "$judge" "$@"
    echo "port $port, limit $(</proc/sys/net/ipv4/ip_unprivileged_port_start): six times bind $1 and server $2, as predicted"
}

# Which addresses reach each: a 127.0.0.1, b ::1, c and d those of the LAN.
reached=(a b c d ac abcd)
run 80 EACCES refused "${reached[@]}"
run 8080 ok listens "${reached[@]}"
echo 80 >/proc/sys/net/ipv4/ip_unprivileged_port_start
run 80 ok listens "${reached[@]}"
