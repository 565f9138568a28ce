#!/bin/bash
# The holder calls itself something that a terminal would act on, and has 4 KB of arguments.
# asks: portwise why 127.0.0.1:8080; portwise list 8080 --netns $NS; portwise why --json 127.0.0.1:8080 | /usr/bin/python3 -c 'import json, sys; print("json:", json.load(sys.stdin)["answers"][0]["sockets"][0]["holders"][0]["pid"])'; portwise list --json-lines 8080 --netns $NS | /usr/bin/python3 -c 'import json, sys; [json.loads(line) for line in sys.stdin]; print("lines are fine")'
# first: pid $PID
# says: \u{1b}[2J
# says: \u{202e}
# says: json: $PID
# says: lines are fine
. "$(dirname "$0")/../lib.sh"
netns A
cat >"$DIR/evil.py" <<'P'
import os, socket, sys, time
open("/proc/self/comm", "wb").write("\x1b[2J\n\u202eevil".encode())
s = socket.socket()
s.bind(("127.0.0.1", 8080))
s.listen()
open(os.environ["READY"], "w")
time.sleep(190)
P
long=$(printf 'y%.0s' $(seq 4096))
READY=$DIR/ready/evil spawn $A "$PY" "$DIR/evil.py" $'\e]0;owned\a' $'a\nb' $'\u202e' "$long"
wait_for "$DIR/ready/evil"
ask $A PID=$LAST NS=$A
