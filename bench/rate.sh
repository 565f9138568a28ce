#!/usr/bin/env bash
# How fast `portwise conform --random` is beside the bare system calls, in one run on one machine.
#
#   bench/rate.sh [SCENARIOS [SEED [LEAST_RATIO]]]
#
# Runs the yardstick (bench/lab-rate), then the same number of scenarios through the tester, and
# prints the ratio of their rates. Exit: what conform says, or 1 if the ratio is below LEAST_RATIO
# (default 0.4).
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$(readlink -f "$0")")/.."
target=${CARGO_TARGET_DIR:-target}
scenarios=${1:-200000} seed=${2:-1} least=${3:-0.4}

cargo build --quiet --release --locked --bin portwise
cargo build --quiet --release --locked --manifest-path bench/lab-rate/Cargo.toml --target-dir "$target/lab-rate"

line=$("$target"/lab-rate/release/lab-rate "$scenarios" "$(nproc)" "$seed" | tee /dev/stderr | tail -n 1)
bare=$(sed -nE 's|.* ([0-9]+) scenarios/s.*|\1|p' <<<"$line")

start=$EPOCHREALTIME
"$target"/release/portwise conform --random "$scenarios" --seed "$seed"
end=$EPOCHREALTIME

awk -v start="$start" -v end="$end" -v n="$scenarios" -v bare="$bare" -v least="$least" 'BEGIN {
    rate = n / (end - start)
    printf "rate: bare %d/s, conform %d/s, ratio %.2f (at least %.2f)\n", bare, rate, rate / bare, least
    exit (rate / bare < least)
}'
