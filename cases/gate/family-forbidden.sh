#!/bin/bash
# A sandbox leaves out IPv6: socket() fails, and no bind is ever tried.
# asks: portwise trace -- $CMD
# first: socket of AF_INET6: EAFNOSUPPORT
# first: seccomp filter
# first: RestrictAddressFamilies
# not: in use
. "$(dirname "$0")/../lib.sh"
netns A
cat >"$DIR/server" <<P
#!$PY
import ctypes, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
# socket(2) of family 10 answers EAFNOSUPPORT, as in a unit with RestrictAddressFamilies=AF_INET.
steps = [(0x20, 0, 0, 0), (0x15, 0, 3, 41), (0x20, 0, 0, 16), (0x15, 0, 1, 10),
         (0x06, 0, 0, 0x00050061), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(steps), ctypes.addressof(code)))
assert libc.prctl(22, 2, program, 0, 0) == 0
try:
    socket.create_server(("::1", 8080), family=socket.AF_INET6)
    print("OK")
except OSError as e:
    print(e)
P
chmod 755 "$DIR/server"
[ "$(uname -m)" = x86_64 ] || not_here "the numbers of calls are those of x86-64"
sure 'Errno 97' "$(inside $A "$DIR/server")"
ask $A CMD="$DIR/server"
