#!/usr/bin/env python3
"""Types every command of README.md, in the order it stands there, in a fresh clone.

    lab/readme.py [DIRECTORY]     the clone and what is built go there; else into one that is removed

As root. A block without prompts is typed as it stands; in the others `$` is typed by a plain user,
`#` and what follows `sudo` by root. Of what the README shows, the servers, addresses and rules are
made beforehand in a network namespace. Each exit status has to be the one that goes with the answer
shown. `cargo test` takes as long as everything else together: it is typed if PORTWISE_README_TESTS
is set.
"""
import os
import pty
import re
import subprocess
import sys
import tempfile
import time

TREE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
SPACE = "readme%d" % os.getpid()
PLAIN = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
SERVER = "import socket, time; s = socket.create_server(('%s', 3000)); time.sleep(900)"
RULES = "table inet filter { chain input { type filter hook input priority filter; policy drop; }; }"


def blocks(text):
    """Who types it, the command, and what is shown below, for each command."""
    for block in re.findall(r"^```\n(.*?)^```$", text, re.M | re.S):
        prompt, lines = None, block.splitlines()
        if re.match(r"(RUSTFLAGS=\S+|RUSTFLAGS='.*?')? ?cargo ", block):
            yield from (("build", re.sub(r"\s+# .*", "", line), "") for line in lines)
        for part in re.split(r"^(?=[$#] )", block, flags=re.M):
            if re.match(r"[$#] ", part):
                command, _, shown = part[2:].partition("\n")
                root = part[0] == "#" or command.startswith("sudo ")
                yield "root" if root else "plain", command.removeprefix("sudo "), shown


def expected(command, shown):
    """The exit status that goes with what is shown; None if the program stays."""
    verb = command.split()[1]
    if verb in ("list", "free", "fix", "try"):
        return 0
    if verb == "conform":
        return 3 if re.search(r" [1-9]\d* unsupported", shown) else 0
    if verb in ("doctor", "trace"):
        return 1
    if verb == "run":
        return None
    if re.search(r"^(no|silent|refused): |^\S+/\w+ +no ", shown, re.M):
        return 1
    return 3 if re.search(r"^unknown: |^\S+/\w+ +unknown ", shown, re.M) else 0


class Machine:
    def __init__(self, folder):
        self.folder, self.servers = folder, []
        self.home = folder + "/home"
        os.makedirs(self.home)
        os.chown(self.home, 65534, 65534)
        self.env = dict(os.environ, CARGO_INSTALL_ROOT=folder + "/installed", HOME=os.environ["HOME"])
        self.env["PATH"] = folder + "/installed/bin:" + self.env["PATH"]
        self.root("ip", "netns", "add", SPACE)
        self.root("ip", "-n", SPACE, "link", "set", "lo", "up")
        self.root("ip", "-n", SPACE, "link", "add", "eth0", "type", "veth", "peer", "name", "other")
        for device in ("eth0", "other"):
            self.root("ip", "-n", SPACE, "link", "set", device, "up")
        for address in ("192.0.2.10/24", "203.0.113.10/24"):
            self.root("ip", "-n", SPACE, "address", "add", address, "dev", "eth0")
        self.root("ip", "-n", SPACE, "route", "add", "default", "via", "192.0.2.1")
        with open(self.home + "/app.py", "w") as app:
            app.write("#!/usr/bin/env python3\n")
        os.chmod(self.home + "/app.py", 0o755)
        self.root("setcap", "cap_net_bind_service=ep", self.home + "/app.py")

    def root(self, *words):
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)

    def inside(self, words):
        return ["ip", "netns", "exec", SPACE] + words

    def make(self, command):
        """Makes what the README shows to be so when this command is typed."""
        if command in ("portwise 3000", "portwise fix 127.0.0.1:3000 --apply 2"):
            self.stop()
            code = SERVER % ("0.0.0.0" if command.endswith(" 3000") else "127.0.0.1")
            words = self.inside(PLAIN + ["/usr/bin/python3", "-c", code])
            self.servers.append(subprocess.Popen(words, cwd=self.home, stdin=subprocess.DEVNULL))
            time.sleep(1)
        if " reach " in command:
            self.root(*self.inside(["nft", RULES]))

    def stop(self):
        for server in self.servers:
            server.kill()
            server.wait()
        self.servers = []

    def type(self, who, command, clone):
        """Runs it and returns its exit status, None if it stays, and what it said."""
        if who == "build":
            done = subprocess.run(["bash", "-c", command], cwd=clone, env=self.env, stdin=subprocess.DEVNULL)
            return done.returncode, ""
        as_whom = PLAIN if who == "plain" else []
        words = self.inside(as_whom + ["bash", "-o", "pipefail", "-c", command])
        where = clone if "tests/data" in command else self.home
        if "--apply" in command:
            return on_a_terminal(words, where, self.env)
        with tempfile.TemporaryFile("w+") as out:
            process = subprocess.Popen(words, cwd=where, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            stays = command.startswith("portwise run")
            try:
                status = process.wait(3 if stays else 600)
            except subprocess.TimeoutExpired:
                status = None
                process.terminate()
                process.wait()
            out.seek(0)
            return status, out.read()


def on_a_terminal(words, where, env):
    """Runs it on a terminal on which somebody types y."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(where)
        os.execvpe(words[0], words, env)
    os.write(terminal, b"y\n")
    said = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        said += part
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode(errors="replace")


def main(folder):
    os.chmod(folder, 0o755)
    clone = folder + "/portwise"
    subprocess.run(["git", "clone", "--quiet", TREE, clone], check=True)
    text = open(clone + "/README.md").read()
    machine, wrong, count = Machine(folder), 0, 0
    try:
        for who, command, shown in blocks(text):
            if command == "cargo test" and not os.environ.get("PORTWISE_README_TESTS"):
                print("not run: cargo test of the README: the tests have stages of their own")
                continue
            machine.make(command)
            wanted = 0 if who == "build" else expected(command, shown)
            status, said = machine.type(who, command, clone)
            count += 1
            right = status == wanted
            wrong += not right
            print("%-5s %-5s status %s: %s" % ("ok" if right else "WRONG", who, status, command), flush=True)
            if not right:
                print("      the README goes with status %s; it said:\n%s" % (wanted, said), flush=True)
    finally:
        machine.stop()
        subprocess.run(["ip", "netns", "del", SPACE])
    print("readme: %d commands, %d wrong" % (count, wrong))
    return 1 if wrong or count < 15 else 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(os.path.abspath(sys.argv[1])))
    with tempfile.TemporaryDirectory(prefix="portwise-readme.") as own:
        sys.exit(main(own))
