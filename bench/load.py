#!/usr/bin/env python3
"""Makes a load of sockets in the network namespace it is started in, for bench/list.sh.

    load.py SECONDS SERVERS LISTENERS IDLE FILES CONNECTIONS

SERVERS processes with LISTENERS listening TCP sockets each, every second one on ::1; IDLE processes
with FILES open files each (files, pipes, Unix sockets); CONNECTIONS pairs of connected sockets, at
most 4000 for a process. Prints `ready` when all is there and then its processes wait to be
killed: with this one, or after SECONDS.
"""
import ctypes
import os
import resource
import signal
import socket
import sys

EACH = 4000  # connections of one process


def main():
    seconds, servers, listeners, idle, files, connections = map(int, sys.argv[1:])
    limit = max(listeners, files, EACH) + 100
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
    signal.alarm(seconds)
    ready = os.pipe()
    works = [lambda n=n: listen(n, listeners) for n in range(servers)]
    works += [lambda: be_idle(files)] * idle
    for group in range(0, connections, EACH):
        count = min(EACH, connections - group)
        server = socket.create_server(("127.0.0.1", 10000 + group // EACH), backlog=count)
        works += [lambda s=server, c=count: accept(s, c), lambda s=server, c=count: connect(s, c)]
    for work in works:
        if os.fork() == 0:
            keep(seconds, work, ready[1])
    os.close(ready[1])
    count = 0
    while chunk := os.read(ready[0], 4096):
        count += len(chunk)
        if count == len(works):
            print("ready", flush=True)
            break
    if count != len(works):
        sys.exit("load.py: some process did not get ready")
    while True:
        signal.pause()


def keep(seconds, work, ready):
    """Does its work in a process that ends with its parent or with the time."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    signal.alarm(seconds)
    try:
        held = work()
        os.write(ready, b".")
        while held is not None:
            signal.pause()
    except BaseException as error:  # Nothing of the parent is to run in the child.
        print(f"load.py: {error!r}", file=sys.stderr)
    os._exit(1)


def listen(number, count):
    """Ports from 20000 up, of 127.0.0.1, 127.0.0.2 … for every second process, ::1 for the others."""
    held = []
    for n in range(number * count, (number + 1) * count):
        host = "::1" if number % 2 else f"127.0.0.{1 + n // 30000}"
        family = socket.AF_INET6 if number % 2 else socket.AF_INET
        held.append(socket.create_server((host, 20000 + n % 30000), family=family, backlog=16))
    return held


def be_idle(count):
    held = []
    while len(held) < count:
        held += [os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)]
        held += [*os.pipe(), *socket.socketpair()]
    return held


def accept(server, count):
    return [server.accept() for _ in range(count)]


def connect(server, count):
    address = server.getsockname()
    server.close()
    return [socket.create_connection(address) for _ in range(count)]


main()
