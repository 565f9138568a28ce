#!/usr/bin/python3
"""The server and the client of the cases: one action, one line of output.

sock.py bind|serve|connect PROTO ADDR PORT [options], from $SOCK_ARGS if there are no arguments;
without either it sleeps. PROTO: tcp, udp, or unix, where ADDR is a path and PORT 0.
"""
import argparse
import errno
import os
import select
import socket
import sys
import time

FLAGS = {"reuseaddr": (1, 2), "reuseport": (1, 15)}


def options():
    p = argparse.ArgumentParser()
    p.add_argument("action", choices=["bind", "serve", "connect", "once"])
    p.add_argument("proto", choices=["tcp", "udp", "unix"])
    p.add_argument("addr")
    p.add_argument("port", type=int)
    for flag in FLAGS:
        p.add_argument("--" + flag, action="store_true")
    p.add_argument("--v6only", type=int)
    p.add_argument("--dev")
    p.add_argument("--backlog", type=int, default=16)
    p.add_argument("--no-listen", action="store_true", help="bind only")
    p.add_argument("--no-accept", action="store_true", help="listen, never accept")
    p.add_argument("--close-first", action="store_true", help="the server closes first")
    p.add_argument("--keep", action="store_true", help="the server keeps what it accepted, and the listener goes")
    p.add_argument("--comm", help="process name to take")
    p.add_argument("--ready", help="file to write once everything is in place")
    p.add_argument("--hold", type=float, default=0, help="seconds a client keeps its connection")
    p.add_argument("--src", help="the address a client sends from")
    p.add_argument("--timeout", type=float, default=2, help="how long a client waits that tries once")
    p.add_argument("--shut", action="store_true", help="the client shuts down its side at once")
    return p


def make(a):
    if a.proto == "unix":
        return socket.socket(socket.AF_UNIX)
    family = socket.AF_INET6 if ":" in a.addr else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM if a.proto == "udp" else socket.SOCK_STREAM)
    for flag, (level, number) in FLAGS.items():
        if getattr(a, flag):
            s.setsockopt(level, number, 1)
    if a.v6only is not None:
        s.setsockopt(socket.IPPROTO_IPV6, 26, a.v6only)
    if a.dev:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, a.dev.encode() + b"\0")
    return s


def address(a):
    return a.addr if a.proto == "unix" else (a.addr, a.port)


def ready(a):
    if a.ready:
        with open(a.ready + ".tmp", "w") as f:
            f.write(str(os.getpid()))
        os.rename(a.ready + ".tmp", a.ready)


def server(a):
    try:
        s = make(a)
        s.bind(address(a))
        if a.proto != "udp" and not a.no_listen:
            s.listen(a.backlog)
    except OSError as e:
        print(errno.errorcode[e.errno])
        return 1
    print("OK", flush=True)
    if a.action == "bind":
        return 0
    if not a.keep:
        ready(a)
    while True:
        if a.no_accept or a.no_listen or a.proto == "udp":
            time.sleep(190)
        if not select.select([s], [], [], 60)[0]:
            continue
        c, _ = s.accept()
        c.sendall(b"hello")
        if a.keep:
            s.close()
            time.sleep(0.1)
            ready(a)
            time.sleep(190)
        if a.close_first:
            c.shutdown(socket.SHUT_WR)
        c.settimeout(30)
        try:
            c.recv(100)
        except OSError:
            pass
        c.close()


def once(a):
    s = make(a)
    s.settimeout(a.timeout)
    try:
        if a.src:
            s.bind((a.src, 0))
        s.connect(address(a))
        print("OK", s.recv(100).decode())
    except TimeoutError:
        print("TIMEOUT")
    except OSError as e:
        print(errno.errorcode.get(e.errno, e))
    return 0


def client(a):
    for _ in range(200):
        s = make(a)
        s.settimeout(2)
        # The server may need a while to start.
        if s.connect_ex(address(a)) != errno.ECONNREFUSED:
            break
        s.close()
        time.sleep(0.1)
    try:
        if a.shut:
            s.shutdown(socket.SHUT_WR)
        print("OK", s.recv(100).decode(), flush=True)
    except OSError as e:
        print(errno.errorcode.get(e.errno, "TIMEOUT"), flush=True)
    ready(a)
    time.sleep(a.hold)
    s.close()
    return 0


args = sys.argv[1:] or os.environ.get("SOCK_ARGS", "").split()
if not args:
    time.sleep(190)
    sys.exit(0)
a = options().parse_args(args)
if a.comm:
    with open("/proc/self/comm", "w") as f:
        f.write(a.comm[:15])
sys.exit({"connect": client, "once": once}.get(a.action, server)(a))
