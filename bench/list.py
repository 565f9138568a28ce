#!/usr/bin/env python3
"""One load of bench/list.sh, in the network namespace it is started in.

    list.py NAME ROUNDS PORTWISE LOAD…
"""
import os
import shutil
import statistics
import subprocess
import sys
import time

name, rounds, portwise, load = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
BASE = "ss -Hltnp"
PORT = "10000" if name == "d" else "20000"
COMMANDS = [
    BASE,
    "portwise list -t",
    "portwise list -t --no-bpf",
    "portwise list -t --no-holders",
    f"portwise why {PORT}",
    "ss -Hltn",
    "lsof -nP -iTCP -sTCP:LISTEN",
    "netstat -ltnp",
]


def words(command):
    first, *rest = command.split()
    return [portwise if first == "portwise" else first, *rest]


def run(command):
    """Runs it; returns wall and processor time in milliseconds."""
    before = time.perf_counter()
    process = subprocess.Popen(words(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - before
    return wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3


def peak(command):
    """The peak memory in MiB, by time(1): what this process used would count otherwise."""
    if not shutil.which("time"):
        return float("nan")
    measured = ["time", "-q", "-f", "%M", "-o", "/dev/fd/3", *words(command)]
    read, write = os.pipe()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    shell = ["sh", "-c", f'exec "$@" 3>&{write}', "sh", *measured]
    subprocess.run(shell, pass_fds=[write], **quiet)
    os.close(write)
    with os.fdopen(read) as out:
        return int(out.read().split()[-1]) / 1024


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    here = os.path.dirname(os.path.abspath(__file__))
    maker = subprocess.Popen([f"{here}/load.py", "1200", *load], stdout=subprocess.PIPE)
    try:
        if maker.stdout.readline() != b"ready\n":
            sys.exit("list.py: the load did not get ready")
        commands = [command for command in COMMANDS if shutil.which(words(command)[0])]
        times = {command: [] for command in commands}
        for _ in range(rounds):
            for command in commands:
                times[command].append(run(command))
        processes = sum(entry.isdigit() for entry in os.listdir("/proc"))
        print(f"\n({name}) {processes} processes; medians of {rounds} in turn")
        print(f"{'':32}{'wall ms':>10}{'CPU ms':>9}{'MiB':>7}{'ss/it: wall':>13}{'CPU':>7}")
        median = lambda command, at: statistics.median(pair[at] for pair in times[command])
        for command in commands:
            wall, cpu = median(command, 0), median(command, 1)
            ratios = median(BASE, 0) / wall, median(BASE, 1) / max(cpu, 0.01)
            print(f"{command:32}{wall:10.2f}{cpu:9.2f}{peak(command):7.1f}{ratios[0]:13.2f}{ratios[1]:7.2f}", flush=True)
    finally:
        maker.kill()
        maker.wait()


main()
