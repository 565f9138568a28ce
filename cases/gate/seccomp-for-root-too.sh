#!/bin/bash
# A seccomp filter forbids bind: root has no better luck, and no port does.
# asks: portwise trace -- $CMD
# first: bind 127.0.0.1:8080/tcp: EPERM
# first: seccomp
# not: is root needed
# not: NET_BIND_SERVICE is missing
. "$(dirname "$0")/../lib.sh"
netns A
cat >"$DIR/confine.py" <<'P'
import ctypes, os, platform, struct, sys
BIND = {"x86_64": 49, "aarch64": 200}.get(platform.machine())
if BIND is None:
    sys.exit("NO")
code = struct.pack("HBBI", 0x20, 0, 0, 0) + struct.pack("HBBI", 0x15, 0, 1, BIND)
code += struct.pack("HBBI", 6, 0, 0, 0x00050001) + struct.pack("HBBI", 6, 0, 0, 0x7FFF0000)
buffer = ctypes.create_string_buffer(code)
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
libc.prctl(22, 2, ctypes.byref(Program(4, ctypes.addressof(buffer))), 0, 0)
os.execv(sys.executable, [sys.executable] + sys.argv[1:])
P
printf '#!/bin/bash\nexec %s %s %s bind tcp 127.0.0.1 8080\n' "$PY" "$DIR/confine.py" "$DIR/sock.py" >"$DIR/server"
chmod 755 "$DIR/server"
sure EPERM "$(inside $A "$DIR/server")"
ask $A CMD="$DIR/server"
