#!/usr/bin/env python3
"""score.py: how many real port problems does a tool explain?

Runs each situation script with a probe (the command a person with that problem would type), takes what the
probe prints, and compares it with the key of that situation:

  must      every regex has to be found: the facts a correct answer states
  must_not  no regex may be found: the wrong diagnosis people are usually given. A hit does not count if a
            negation stands before it in the same sentence ("not in use", "rather than TIME_WAIT").

Regexes are case-insensitive and multi-line; ${PW_PID} and the like stand for the values of this run. A must is
also looked for in the text with all white space squeezed, so line breaks inside a sentence do no harm.
A situation is explained if all musts and no must_nots are found, the probe ended in time, and the answer is no
longer than --max-chars. Root is needed. Exit status 0 whatever the result.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|\r")
NEGATED = re.compile(r"\b(not|no|never|nobody|nothing|none|neither|nor|without|cannot|\w+n't|instead of|rather than|unlike|contrary)\b[^.;:\n]{0,50}$", re.I)
DENIED = re.compile(r"\W{0,3}((is|are|was|were|does|do|did|can|could|will|would) ?)?(not?|none|false|never|n't|ruled out)\b", re.I)
RAW = re.compile(r"^#raw$.*?^#end$\n?", re.M | re.S)


def options():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--tool", metavar="CMD", help="command prefix that stands for 'portwise' in the probes (default: portwise on PATH)")
    p.add_argument("--probe", metavar="SHELL", help="run this shell command in every situation instead of the key's probe (PW_* are set); "
                   "what it prints between the lines '#raw' and '#end' counts as facts, not as explanation")
    p.add_argument("--ids", help="ids, comma separated, or @FILE with one id per line (default: all in the keys)")
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--keys", default=HERE + "/keys.json")
    p.add_argument("--repro", default=HERE, metavar="DIR")
    p.add_argument("--time", type=float, default=10, metavar="S", help="time limit of a probe (default 10)")
    p.add_argument("--max-chars", type=int, default=6000, help="longest text that still is an explanation (default 6000)")
    p.add_argument("--lines", type=int, default=0, metavar="N", help="judge only the first N lines of each answer that are not blank")
    p.add_argument("--quick", action="store_true", help="end each script after its probe")
    p.add_argument("--keep-env", action="store_true", help="do not hide the PW_* variables from the tool (for checking the keys themselves)")
    p.add_argument("--show", action="store_true", help="print the tool's answers too")
    p.add_argument("--json", metavar="FILE", help="write the results there as well")
    return p.parse_args()


def make_shim(folder, a):
    """A 'portwise' that hides the PW_* variables and runs the tool: the answer must come from the host."""
    if a.tool:
        words = shlex.split(a.tool)
        words[0] = os.path.abspath(words[0]) if "/" in words[0] else shutil.which(words[0]) or words[0]
    else:
        words = [shutil.which("portwise") or ""]
        if not words[0]:
            sys.exit("score.py: no portwise on PATH; give --tool or --probe")
    hide = "" if a.keep_env else "unset ${!PW_@} ${!SCORE_@} PROBE\n"
    path = folder + "/portwise"
    with open(path, "w") as f:
        f.write("#!/bin/bash\n%sexec %s \"$@\"\n" % (hide, shlex.join(words)))
    os.chmod(path, 0o755)


def run(key, a, folder):
    """One situation: its exit status, the probe's output and status, and the PW_* values."""
    work = tempfile.mkdtemp(dir=folder)
    os.chmod(work, 0o755)
    env = dict(os.environ, PATH=folder + ":" + os.environ.get("PATH", ""), SCORE_PROBE=a.probe or key["probe"], SCORE_DIR=work,
               PROBE='env -0 >"$SCORE_DIR/env"; timeout -k 1 %g bash -c "$SCORE_PROBE" 2>&1 </dev/null' % a.time)
    env.pop("PW_QUICK", None)
    if a.quick:
        env["PW_QUICK"] = "1"
    script = subprocess.run(["bash", os.path.join(a.repro, key["id"] + ".sh")], env=env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = script.stdout.decode(errors="replace")
    values = {}
    if os.path.exists(work + "/env"):
        for line in open(work + "/env", errors="replace").read().split("\0"):
            name, _, value = line.partition("=")
            if name.startswith("PW_"):
                values[name] = value
    m = re.search(r"^--- probe\n(.*?)^--- end probe \(rc (\d+)\)$", out, re.M | re.S)
    return script.returncode, out, ANSI.sub("", m.group(1)) if m else None, int(m.group(2)) if m else None, values


def fill(regex, values):
    return re.sub(r"\$\{(\w+)\}", lambda m: re.escape(values[m.group(1)]), regex)


def stated(regex, text):
    flags = re.I | re.M
    return bool(re.search(regex, text, flags) or re.search(regex, re.sub(r"\s+", " ", text), flags))


def claimed(regex, text):
    """A wrong claim: a hit without a negation around it."""
    for m in re.finditer(regex, text, re.I | re.M):
        if not NEGATED.search(text[:m.start()]) and not DENIED.match(text, m.end()):
            return m.group(0)
    return None


def judge(key, a, folder):
    rc, out, text, probe_rc, values = run(key, a, folder)
    r = dict(id=key["id"], category=key.get("category"), points=key["points"], facts=len(key["must"]))
    if rc == 77:
        return dict(r, state="skipped", note=next((x for x in out.splitlines() if x.startswith("SKIP")), ""))
    if text is None or rc not in (0, 1) or (rc == 1 and "MISS" in out.split("--- probe")[0]):
        return dict(r, state="broken", note="situation not reproduced: " + " / ".join(x.strip() for x in out.splitlines() if "MISS" in x)[:200])
    if a.lines:
        text = "\n".join([x for x in text.splitlines() if x.strip()][: a.lines])
    must = [fill(x, values) for x in key["must"]]
    names = key.get("facts") or key["must"]
    clean = RAW.sub("", text)
    has = [stated(x, text) for x in must]
    wrong = [w for w in (claimed(fill(x, values), clean) for x in key["must_not"]) if w]
    late = probe_rc in (124, 137)
    full = all(stated(x, clean) for x in must)
    r.update(found=sum(has), missing=[n for n, ok in zip(names, has) if not ok], wrong=wrong, late=late, long=len(clean) > a.max_chars, text=text)
    r["state"] = "explained" if full and not wrong and not late and not r["long"] else "not explained"
    r["raw_only"] = all(has) and not full
    r["after"] = "" if rc == 0 else "situation changed by the probe? " + " / ".join(x.strip() for x in out.splitlines() if "MISS" in x)[:200]
    return r


def line(r):
    if r["state"] in ("skipped", "broken"):
        return "%-7s %-30s %s" % (r["state"], r["id"], r["note"])
    bits = []
    if r["missing"]:
        bits.append("missing: " + "; ".join(r["missing"]))
    if r["wrong"]:
        bits.append("wrong: " + "; ".join(repr(w) for w in r["wrong"]))
    if r["late"]:
        bits.append("over the time limit")
    if r["long"]:
        bits.append("too long for an explanation")
    if r["raw_only"]:
        bits.append("only as raw rule or setting text")
    if r["after"]:
        bits.append(r["after"])
    return "%-7s %-30s %d/%d%s" % ("pass" if r["state"] == "explained" else "fail", r["id"], r["found"], r["facts"], "  " + ", ".join(bits) if bits else "")


def main():
    a = options()
    if os.geteuid() != 0:
        sys.exit("score.py: run as root")
    keys = json.load(open(a.keys))
    if a.ids:
        wanted = open(a.ids[1:]).read().split() if a.ids.startswith("@") else a.ids.split(",")
        unknown = set(wanted) - {k["id"] for k in keys}
        if unknown:
            sys.exit("score.py: no key for " + ", ".join(sorted(unknown)))
        keys = [k for k in keys if k["id"] in wanted]
    folder = tempfile.mkdtemp(prefix="pwscore.")
    os.chmod(folder, 0o755)
    lock = threading.Lock()

    def one(key):
        r = judge(key, a, folder)
        with lock:
            print(line(r), flush=True)
            if a.show and r.get("text"):
                print("".join("        | %s\n" % x for x in r["text"].splitlines()), end="", flush=True)
        return r
    try:
        if not a.probe:
            make_shim(folder, a)
        with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
            results = list(pool.map(one, keys))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    done = [r for r in results if "found" in r]
    explained = [r for r in done if r["state"] == "explained"]
    points = sum(r["points"] * r["found"] / r["facts"] for r in done if not r["wrong"])
    for state in ("skipped", "broken"):
        n = sum(r["state"] == state for r in results)
        if n:
            print("%d %s, not counted" % (n, state))
    print("%d of %d explained; facts %d of %d, points %.1f of %d" % (
        len(explained), len(done), sum(r["found"] for r in done), sum(r["facts"] for r in done), points, sum(r["points"] for r in done)))
    if a.json:
        with open(a.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
