#!/usr/bin/env bash
# Changes the model's rules and engine one place at a time and sees whether a test notices.
#
#   lab/mutants.sh [CARGO-MUTANTS-ARGUMENT…]      e.g. -f crates/model/src/linux/bind4.rs, or --shard 0/8
#   lab/mutants.sh --table                        the table of the last run again
#
# What is changed is said in .cargo/mutants.toml. Prints a Markdown table for a lab note: changes
# caught, missed, timed out and unviable (did not compile), by file, then every survivor.
# Exit: 0 when at most 2 % survive · 1 when more do · 2 when there was no full run.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
trouble() { echo "mutants: $*" >&2; exit 2; }

out=target/mutants
if [[ ${1:-} != --table ]]; then
    cargo mutants --version >/dev/null 2>&1 || trouble "no cargo-mutants here: cargo install cargo-mutants"
    # Each change is compiled and run once: compiling has to be cheap.
    export CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=1
    mkdir -p "$out"
    rm -rf "$out"/mutants.out
    status=0
    nice cargo mutants -p portwise-model --jobs "${MUTANTS_JOBS:-2}" --output "$out" --no-times "$@" >&2 || status=$?
    # 2: some were missed; 3: some timed out. Both are results.
    case $status in 0 | 2 | 3) ;; *) trouble "cargo mutants ended with status $status" ;; esac
fi
[[ -r $out/mutants.out/outcomes.json ]] || trouble "no run in $out yet"

exec python3 -B - "$out/mutants.out" <<'PYTHON'
import json, sys
from collections import Counter, defaultdict
from pathlib import Path

out = Path(sys.argv[1])
outcomes = json.loads((out / "outcomes.json").read_text())
planned = len(json.loads((out / "mutants.json").read_text()))
COLUMNS = {"CaughtMutant": "caught", "MissedMutant": "missed", "Timeout": "timeout", "Unviable": "unviable"}

files, missed = defaultdict(Counter), []
for outcome in outcomes["outcomes"]:
    if outcome["scenario"] == "Baseline":
        continue
    mutant = outcome["scenario"]["Mutant"]
    column = COLUMNS.get(outcome["summary"])
    if column is None:
        sys.exit(f"mutants: outcome {outcome['summary']} of {mutant['name']} is not known here")
    files[mutant["file"]][column] += 1
    if column == "missed":
        missed.append(mutant["name"])

total = sum(files.values(), Counter())
print("| file | caught | missed | timeout | unviable |")
print("|---|---:|---:|---:|---:|")
for name, row in sorted(files.items()) + [("**all**", total)]:
    print(f"| {name.removeprefix('crates/model/src/')} | " + " | ".join(str(row[c]) for c in COLUMNS.values()) + " |")
viable = total["caught"] + total["missed"] + total["timeout"]
share = 100 * total["missed"] / viable if viable else 0
print(f"\ncargo-mutants {outcomes.get('cargo_mutants_version', '')}: {viable} viable changes, "
      f"{total['missed']} survive: {share:.1f} %")
for name in sorted(missed):
    print(f"- `{name}`: ")
done = sum(total.values())
if done < planned or not viable:
    print(f"\nnot a full run: {done} of {planned} changes tried")
    sys.exit(2)
sys.exit(share > 2)
PYTHON
