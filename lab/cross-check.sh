#!/usr/bin/env bash
# Type-checks the crates for systems this machine is not: macOS and FreeBSD (whole workspace), and a
# target without an operating system (the model, which must need no std).
#
#   lab/cross-check.sh [TARGET…]
#
# The standard library is checked from source, since only the host's comes with a distribution's
# Rust: from the toolchain's rust-src component, else from Debian's package of exactly the same
# version. Everything is kept in ~/.cache/portwise-cross; nothing is installed.
#
# Exit: 0 all pass · 1 one fails · 2 usage · 3 could not be tried (printed as `not run`).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

not_run() { echo "not run: $*"; exit 3; }

std_targets=(x86_64-apple-darwin aarch64-apple-darwin x86_64-unknown-freebsd)
bare_targets=(wasm32-unknown-unknown)
if [[ $# -gt 0 ]]; then
    wanted=("$@")
else
    wanted=("${std_targets[@]}" "${bare_targets[@]}")
fi
for target in "${wanted[@]}"; do
    [[ " ${std_targets[*]} ${bare_targets[*]} " == *" $target "* ]] ||
        { echo "cross-check: $target is none of ${std_targets[*]} ${bare_targets[*]}" >&2; exit 2; }
done

cache=${XDG_CACHE_HOME:-$HOME/.cache}/portwise-cross
version=$(rustc --version | cut -d' ' -f2)
library=$(rustc --print sysroot)/lib/rustlib/src/rust/library
if [[ ! -f $library/Cargo.lock ]]; then
    library=$cache/rust-src-$version/usr/src/rustc-$version/library
fi
if [[ ! -f $library/Cargo.lock ]]; then
    suites=(bookworm-backports trixie trixie-backports)
    mkdir -p "$cache"
    log=$cache/rust-src.log
    # The compiler and its library are one program: a near version does not do.
    found=$(lab/private-apt.sh "${suites[@]}" -- apt-cache madison rust-src 2>"$log" |
        awk -F'|' -v want="$version" '{ gsub(/ /, "", $2) }
            !found && (index($2, want "+") == 1 || index($2, want "-") == 1) { print $2; found = 1 }') ||
        not_run "no package lists: $(tail -n 1 "$log")"
    [[ -n $found ]] || not_run "rustc is $version and no suite of ${suites[*]} has that rust-src (rustup component add rust-src also does)"
    rm -rf "$cache/partial" && mkdir -p "$cache/partial"
    (cd "$cache/partial" && "$OLDPWD/lab/private-apt.sh" "${suites[@]}" -- apt-get -qq download "rust-src=$found") 2>"$log" ||
        not_run "rust-src $found was not downloaded: $(tail -n 1 "$log")"
    dpkg-deb -x "$cache"/partial/rust-src_*.deb "$cache/partial/x"
    rm -rf "$cache/rust-src-$version"
    mv "$cache/partial/x" "$cache/rust-src-$version" && rm -rf "$cache/partial"
    [[ -f $library/Cargo.lock ]] || not_run "rust-src $found has no ${library#"$cache/rust-src-$version"}"
fi

# Cargo finds the library beside its compiler unless told otherwise, and builds it on nightly only
# unless told otherwise.
export __CARGO_TESTS_ONLY_SRC_ROOT=$library RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$cache/target
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

log=$cache/fetch.log
cargo fetch --locked -Zbuild-std >"$log" 2>&1 ||
    not_run "crates could not be fetched: $(grep -m1 -E '^error' "$log" || tail -n 1 "$log")"

failed=0
for target in "${wanted[@]}"; do
    if [[ " ${bare_targets[*]} " == *" $target "* ]]; then
        what=(-p portwise-model --features serde -Zbuild-std=core,alloc)
    else
        what=(--workspace -Zbuild-std)
    fi
    start=$SECONDS
    if cargo check --quiet --locked --target "$target" "${what[@]}"; then
        echo "cross-check: $target ok ($((SECONDS - start)) s)"
    else
        echo "cross-check: $target FAILED ($((SECONDS - start)) s)"
        failed=1
    fi
done
exit "$failed"
