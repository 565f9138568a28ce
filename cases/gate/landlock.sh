#!/bin/bash
# A program put itself in a Landlock domain that allows other ports than the one it binds.
# asks: portwise trace -- $CMD
# first: bind 127.0.0.1:8080/tcp: EACCES
# first: Landlock
# first: a rule for port 8080
# not: limit of this namespace
# not: yes:
. "$(dirname "$0")/../lib.sh"
netns A
cat >"$DIR/confine.py" <<'P'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64)]
fd = libc.syscall(444, ctypes.byref(Ruleset(0, 1)), ctypes.c_size_t(16), 0)
if fd < 0:
    print("NO"); sys.exit(1)
libc.prctl(38, 1, 0, 0, 0)
if libc.syscall(446, fd, 0):
    print("NO"); sys.exit(1)
os.execv(sys.executable, [sys.executable] + sys.argv[1:])
P
printf '#!/bin/bash\nexec %s %s %s bind tcp 127.0.0.1 8080\n' "$PY" "$DIR/confine.py" "$DIR/sock.py" >"$DIR/server"
chmod 755 "$DIR/server"
[ "$(inside $A "$DIR/server")" != NO ] || not_here "no Landlock for TCP"
sure EACCES "$(inside $A "$DIR/server")"
ask $A CMD="$DIR/server"
