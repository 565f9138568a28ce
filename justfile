# `just` lists these; each is one command that also works without just.

_default:
    @{{just_executable()}} --list --unsorted

# The program, as it is shipped: target/release/portwise
build:
    cargo build --release

# One file that needs no library: target/TRIPLE/release/portwise
static:
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$(rustc -vV | sed -n 's/^host: //p')"

# All tests; some say `not run: why` without root
test *args:
    cargo test {{args}}

# Formatting, lints, documentation, and dependencies if cargo-deny is installed
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo clippy -p portwise-model --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
    if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources advisories; else echo "not run: no cargo-deny here"; fi

# Writes the generated reference and the snapshots anew; read the diff
bless:
    PORTWISE_BLESS=1 INSTA_UPDATE=always cargo test
    git diff --stat

# What a change must pass, as root (about 10 minutes)
ci:
    bash .ci/run

# Random scenarios: the model against the running kernel
oracle n="1000000" seed="1": build
    target/release/portwise conform --random {{n}} --seed {{seed}}

# Finds every citation in the kernel sources; xnu in the git directory --xnu DIR or PORTWISE_XNU_GIT
cites *args:
    set -o pipefail; cargo run --quiet --bin portwise -- explain --cites | lab/check-cites.sh {{args}}

# Type-checks for macOS, FreeBSD and no system at all
cross *targets:
    lab/cross-check.sh {{targets}}

# Changes the rules one place at a time: does a test notice? (an hour)
mutants *args:
    lab/mutants.sh {{args}}

# The tester's speed beside the bare system calls
bench n="1000000" seed="1":
    bench/rate.sh {{n}} {{seed}}

# The system calls of one check, and its time beside ss
bench-check rounds="500":
    bench/check.sh {{rounds}}

set shell := ["bash", "-euc"]
