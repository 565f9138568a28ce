#!/usr/bin/env bash
# `run` with the programs that people run: each serves on the endpoint it was given, and on no other
# port or address.
#
#   bench/run-table.sh [PORTWISE]
#
# One row for each program and way: what became of the endpoint asked for, of the next port, and of
# another address; `yes` it serves there, `no` it is refused with EACCES. A socket is passed on only
# to a program that takes it. Needs root; works in a network namespace of its own. Exit: 0 all as it must be, 1 if not, 3 if not run.
set -euo pipefail
export LC_ALL=C
# Without what is root's own, such as a version manager: another user is to run it.
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
root=$(dirname "$(readlink -f "$0")")/..
portwise=$(readlink -f "${1:-$root/target/release/portwise}")

if [[ ${PORTWISE_TABLE_INSIDE:-} != 1 ]]; then
    if [[ $(id -u) -ne 0 ]]; then echo "not run: programs under run: needs root"; exit 3; fi
    for tool in unshare ip cc curl; do
        command -v "$tool" >/dev/null || { echo "not run: programs under run: no $tool here"; exit 3; }
    done
    PORTWISE_TABLE_INSIDE=1 exec unshare --net --pid --fork --kill-child --mount-proc bash "$0" "$portwise"
fi

ip link set lo up
scratch=$(mktemp -d)
chmod 755 "$scratch"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
cc -O2 -w -pthread -o calls "$root/crates/portwise/tests/data/calls.c"
cc -O2 -w -pthread -static -o static "$root/crates/portwise/tests/data/calls.c"
cat >server.js <<'JS'
const [host, port] = process.argv.slice(2);
require("http").createServer((request, response) => response.end("ok")).listen(+port, host);
JS
cat >passed.py <<'PY'
import http.server, os, socket, sys
place = sys.argv[1], int(sys.argv[2])
server = http.server.HTTPServer(place, http.server.SimpleHTTPRequestHandler, bind_and_activate=False)
for number in range(3, 3 + int(os.environ.get("LISTEN_FDS", 0))):
    passed = socket.socket(fileno=number)
    if passed.getsockname() == place:
        server.socket = passed
        break
else:
    server.server_bind()
    server.server_activate()
server.serve_forever()
PY
cat >server.go <<'GO'
package main

import ("net/http"; "os")

func main() { panic(http.ListenAndServe(os.Args[1]+":"+os.Args[2], nil)) }
GO
go=${GO:-go}
if command -v "$go" >/dev/null; then
    CGO_ENABLED=0 HOME=$scratch "$go" build -o go-server server.go || echo "not run: go build"
else
    echo "not run: a Go program under run: no go here"
fi

status=0
# said LINE: what a program that binds once says.
said() {
    case $1 in "bind ok") echo yes ;; "bind EACCES") echo no ;; *) echo "?$1" ;; esac
}

# once HOW PROTOCOL ASKED ADDRESS PORT PROGRAM…: a program that binds and ends.
once() {
    local how=$1 protocol=$2 asked=$3 address=$4 port=$5
    shift 5
    said "$("$portwise" run -q --user 65534:65534 -l "$asked/$protocol" --how "$how" -- "$@" "$protocol" "$address" "$port" 2>&1)"
}

# serves HOW ASKED ADDRESS PORT PROGRAM…: a server.
serves() {
    local how=$1 asked=$2 address=$3 port=$4 pid answer="?"
    shift 4
    "$portwise" run -q --user 65534:65534 -l "$asked" --how "$how" -- "$@" >"$scratch/out" 2>&1 &
    pid=$!
    for _ in {1..250}; do
        if curl -sS -o /dev/null --max-time 2 "http://$address:$port/" 2>/dev/null; then answer=yes; break; fi
        if ! kill -0 "$pid" 2>/dev/null; then
            answer="?ended"
            grep -qiE 'permission denied|EACCES|Errno 13' "$scratch/out" && answer=no
            break
        fi
        sleep 0.02
    done
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    echo "$answer"
}

# A capability is wider than what was asked for, which is why that way is taken only by name.
row() {
    local must="yes no no"
    [[ $2 != ambient ]] || must="yes yes yes"
    printf '%-24s %-10s %-6s %-10s %s\n' "$@"
    [[ "$3 $4 $5" == "$must" ]] || status=1
}

printf '%-24s %-10s %-6s %-10s %s\n' program way asked "other port" "other address"
server() {
    local name=$1 asked=127.0.0.1:80
    shift
    row "$name" "$how" \
        "$(serves "$how" "$asked" 127.0.0.1 80 "${@//PLACE/127.0.0.1:80}")" \
        "$(serves "$how" "$asked" 127.0.0.1 81 "${@//PLACE/127.0.0.1:81}")" \
        "$(serves "$how" "$asked" 127.0.0.2 80 "${@//PLACE/127.0.0.2:80}")"
}

for how in cgroup broker ambient; do
    if command -v php >/dev/null; then server "php -S" php -S PLACE; else echo "not run: php under run: no php here"; fi
    if command -v python3 >/dev/null; then
        server "python3 -m http.server" sh -c 'exec python3 -m http.server --bind "${0%:*}" "${0##*:}"' PLACE
    else
        echo "not run: python3 under run: no python3 here"
    fi
    if command -v node >/dev/null; then
        server "node" sh -c "exec node $scratch/server.js \"\${0%:*}\" \"\${0##*:}\"" PLACE
    else
        echo "not run: node under run: no node here"
    fi
    if [[ -x go-server ]]; then
        server "go, static" sh -c "exec $scratch/go-server \"\${0%:*}\" \"\${0##*:}\"" PLACE
    fi
    # Not where the servers were: their connections keep that port for a minute.
    binds() {
        local name=$1 protocol=$2 asked=$3 other=$4 port=$5
        shift 5
        row "$name" "$how" \
            "$(once "$how" "$protocol" "$asked" "${asked%:*}" "$port" "$@")" \
            "$(once "$how" "$protocol" "$asked" "${asked%:*}" $((port + 1)) "$@")" \
            "$(once "$how" "$protocol" "$asked" "$other" "$port" "$@")"
    }
    binds "C" tcp 127.0.0.1:70 127.0.0.2 70 ./calls one plain
    binds "C, static, raw call" tcp 127.0.0.1:70 127.0.0.2 70 ./static one raw
    binds "C, after fork" tcp 127.0.0.1:70 0.0.0.0 70 ./calls one fork
    binds "C, from a thread" tcp 127.0.0.1:70 127.0.0.2 70 ./calls one thread
    binds "C, UDP 53" udp 127.0.0.1:53 127.0.0.2 53 ./calls one plain
    six() { once "$how" tcp '[::1]:70' "$1" "$2" ./calls one plain; }
    row "C, IPv6" "$how" "$(six ::1 70)" "$(six ::1 71)" "$(six :: 70)"
done
how=activation
if command -v python3 >/dev/null; then
    server "python3, LISTEN_FDS" sh -c "exec python3 $scratch/passed.py \"\${0%:*}\" \"\${0##*:}\"" PLACE
fi
exit $status
