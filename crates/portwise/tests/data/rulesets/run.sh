#!/bin/bash
# Loads RULES ($RULES) on a host between a client and a container, after what a file of that name with .sh
# does there, and compares what `portwise reach` says of each connection with what becomes of it. Prints a
# line for each that differs, then how many were tried.
. "$(dirname "$0")/../../../../../cases/lib.sh"
netns HOST CLIENT BOX
veth $HOST $CLIENT
veth $HOST $BOX 2
ip -n $CLIENT route add default via 10.77.1.1
ip -n $BOX route add default via 10.77.2.1
ip -n $HOST route add default via 10.77.1.2
tune $HOST net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0 net.ipv4.conf.all.rp_filter=0 \
  net.ipv4.conf.v1.rp_filter=0 net.ipv4.conf.v2.rp_filter=0 net.ipv4.conf.all.send_redirects=0
ip -n $CLIENT addr add 198.51.100.7/32 dev lo
[ ! -f "${RULES%.*}.sh" ] || . "${RULES%.*}.sh"
for port in 22 80 8080; do serve $HOST 0 tcp 0.0.0.0 $port; done
serve $HOST 0 tcp 127.0.0.1 6379
serve $BOX 0 tcp 0.0.0.0 80
serve $BOX 0 tcp 0.0.0.0 5432
case "$RULES" in
  *.nft) (cd "$(dirname "$RULES")" && inside $HOST nft -f "$RULES") || not_here "nft does not load $RULES" ;;
  *.v4) inside $HOST iptables-nft-restore <"$RULES" || not_here "iptables-nft does not load $RULES" ;;
esac
export HOST CLIENT BOX
exec 3>&1
"$PY" - <<'P'
import concurrent.futures, json, os, subprocess, sys

WITHIN = 4
OUT, IN = "10.77.1.1", "10.77.2.1"
ports = [22, 80, 443, 5432, 6379, 8080, 9090, 30080, 30443]
asked = {
    ("CLIENT", "10.77.1.2%v1"): [(OUT, p) for p in ports] + [("10.77.2.2", 80), ("10.96.0.10", 80), ("10.96.0.11", 443)],
    ("CLIENT", "198.51.100.7%v1"): [(OUT, p) for p in (22, 80, 443, 30080)] + [(IN, 22)],
    ("BOX", "10.77.2.2%v2"): [(IN, p) for p in (22, 80, 8080, 53)] + [(OUT, p) for p in (22, 8080, 30080, 443)],
    ("HOST", "127.0.0.1%lo"): [("127.0.0.1", p) for p in (22, 443, 6379, 8080, 9090, 30080)],
    ("HOST", OUT + "%lo"): [(OUT, p) for p in (22, 80, 443, 8080, 30080, 30443)],
}
CODE = """
import errno, socket, sys, threading
results = {}
def ask(i, source, to, port):
    s = socket.socket()
    s.settimeout(%d)
    try:
        s.bind((source, 0))
        s.connect((to, int(port)))
        results[i] = "OK " + s.recv(5).decode()
    except TimeoutError:
        results[i] = "TIMEOUT"
    except OSError as e:
        results[i] = errno.errorcode[e.errno]
words = sys.argv[2:]
jobs = [threading.Thread(target=ask, args=(i, sys.argv[1], *w.rsplit(":", 1))) for i, w in enumerate(words)]
[j.start() for j in jobs]; [j.join() for j in jobs]
print("\\n".join(results[i] for i in range(len(words))))
""" % WITHIN

def within(space, *command):
    done = subprocess.run(["ip", "netns", "exec", os.environ[space], *command], capture_output=True, text=True)
    if not done.stdout:
        sys.exit(f"{command}: {done.stderr}")
    return done.stdout

def fits(answer, got):
    """Whether what a client got is what was said."""
    outcome = answer["outcome"]
    if outcome == "accepted":
        return got.startswith("OK")
    if outcome == "refused":
        return got == answer.get("errno")
    if outcome == "silent" or answer.get("fails"):
        return got == "TIMEOUT"
    if outcome == "forwarded":
        # What the container makes of it is its own matter, and so is what comes of it elsewhere.
        there = answer.get("rewritten", answer["to"]).startswith("10.77.2.2:")
        return not there or got.startswith("OK") or got == "ECONNREFUSED"
    if outcome == "no-route":
        return not got.startswith("OK")
    return False

def both(group):
    """What is said of a group of connections, and what becomes of them."""
    (space, source), places = group
    words = [f"{ip}:{port}" for ip, port in places]
    said = json.loads(within("HOST", "portwise", "reach", *words, "--from", source, "--json"))["answers"]
    got = within(space, sys.executable, "-c", CODE, source.split("%")[0], *words).splitlines()
    return source, words, said, got

tried = 0
with concurrent.futures.ThreadPoolExecutor() as pool:
    for source, words, said, got in pool.map(both, asked.items()):
        for word, answer, result in zip(words, said, got):
            tried += 1
            if not fits(answer, result):
                print(f"differs: {source} to {word}: said {answer['outcome']} {answer.get('errno', '')} {answer.get('rule', '')} ({answer['because']}), measured {result}")
print(f"{tried} tried")
P
