#!/usr/bin/env bash
# Changes the model's rules and engine one place at a time and sees whether a test notices.
#
#   lab/mutants.sh [CARGO-MUTANTS-ARGUMENT…]      e.g. -f crates/model/src/linux/bind4.rs, or --shard 0/8
#   lab/mutants.sh --table [MUTANTS.OUT…]         the table of the last run again, or of those runs together
#
# Two passes: the quick tests against every change, then the walk through the small world, which takes
# some thirty times as long, against what they miss; of a shard all tests in one pass. What is changed is said in .cargo/mutants.toml.
# Prints a Markdown table for a lab note: changes caught, missed, timed out and unviable (did not compile),
# by file, then every survivor. Of a change that is in several runs the last one counts.
# Exit: 0 when at most 2 % survive · 1 when more do · 2 when there was no full run.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
trouble() { echo "mutants: $*" >&2; exit 2; }

out=target/mutants
pass() {
    local status=0
    cargo mutants -p portwise-model --jobs "${MUTANTS_JOBS:-2}" --output "$out" --no-times "$@" >&2 || status=$?
    # 2: some were missed; 3: some timed out. Both are results.
    case $status in 0 | 2 | 3) ;; *) trouble "cargo mutants ended with status $status" ;; esac
}
if [[ ${1:-} == --table ]]; then
    shift
else
    cargo mutants --version >/dev/null 2>&1 || trouble "no cargo-mutants here: cargo install cargo-mutants"
    # Each change is compiled and run: at this level the two together take least.
    export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_LTO=off CARGO_INCREMENTAL=1
    mkdir -p "$out"
    rm -rf "$out"/mutants.out "$out"/mutants.out.old
    if [[ " $* " == *" --shard"* ]]; then
        # A second run would take its shard of what is left: another one.
        pass "$@"
    else
        pass "$@" -- -- --skip small_world::
        [[ ! -s $out/mutants.out/missed.txt ]] || pass --iterate "$@" -- -- small_world::
    fi
    set --
fi
(($#)) || for run in "$out"/mutants.out.old "$out"/mutants.out; do
    [[ ! -r $run/outcomes.json ]] || set -- "$@" "$run"
done
(($#)) || trouble "no run in $out yet"

exec python3 -B - "$@" <<'PYTHON'
import json, sys
from collections import Counter, defaultdict
from pathlib import Path

COLUMNS = {"CaughtMutant": "caught", "MissedMutant": "missed", "Timeout": "timeout", "Unviable": "unviable"}
planned, found, version = set(), {}, ""
for run in map(Path, sys.argv[1:]):
    outcomes = json.loads((run / "outcomes.json").read_text())
    version = outcomes.get("cargo_mutants_version", "")
    planned |= {mutant["name"] for mutant in json.loads((run / "mutants.json").read_text())}
    for outcome in outcomes["outcomes"]:
        if outcome["scenario"] == "Baseline":
            continue
        mutant = outcome["scenario"]["Mutant"]
        column = COLUMNS.get(outcome["summary"])
        if column is None:
            sys.exit(f"mutants: outcome {outcome['summary']} of {mutant['name']} is not known here")
        found[mutant["name"]] = (mutant["file"], column)

files = defaultdict(Counter)
for file, column in found.values():
    files[file][column] += 1
missed = [name for name, (_, column) in found.items() if column == "missed"]
total = sum(files.values(), Counter())
print("| file | caught | missed | timeout | unviable |")
print("|---|---:|---:|---:|---:|")
for name, row in sorted(files.items()) + [("**all**", total)]:
    print(f"| {name.removeprefix('crates/model/src/')} | " + " | ".join(str(row[c]) for c in COLUMNS.values()) + " |")
viable = total["caught"] + total["missed"] + total["timeout"]
share = 100 * total["missed"] / viable if viable else 0
print(f"\ncargo-mutants {version}: {viable} viable changes, {total['missed']} survive: {share:.1f} %")
for name in sorted(missed):
    print(f"- `{name}`: ")
if len(found) < len(planned) or not viable:
    print(f"\nnot a full run: {len(found)} of {len(planned)} changes tried")
    sys.exit(2)
sys.exit(share > 2)
PYTHON
