#!/usr/bin/env bash
# Boots Linux kernels of Debian under emulation, plays random scenarios on each beside the model, probes
# its features, and writes what came out into a table.
#
#   lab/kernels.sh [-n SCENARIOS] [-s SEED] [-c CHUNK] [-o FILE] [-p PORTWISE] [KERNEL…]
#   lab/kernels.sh -l                which kernels can be had
#   lab/kernels.sh -t [-s SEED]      only writes the table, of what there is
#
# KERNEL is a series such as 6.12, of which the newest is taken, or the start of a release such as
# 6.12.43; by default every series from 5.10 on. PORTWISE is a statically linked one (by default it is
# built). FILE is lab/kernels.md: the part between its marks is written anew, from the results of this
# run and of earlier ones of the same SEED, which are kept with the packages.
#
# Needs a Debian machine, qemu-system-x86_64, busybox-static, xz and gzip; no root. Nothing of the system is changed.
# Exit: 0 all agree · 1 something disagrees · 3 not run, or a kernel did not finish.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/portwise-kernels
suites=(bullseye-security bookworm-security bookworm-backports trixie-security trixie-backports)
accel=${PORTWISE_ACCEL:-tcg}
oldest=5.10

usage() { sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }
trouble() { echo "not run: $*" >&2; exit 3; }
apt() { "$here/private-apt.sh" "${suites[@]}" -- "$@"; }

scenarios=100000 seed=1 chunk=20000 table=$here/kernels.md portwise='' list='' only_table=''
while getopts n:s:c:o:p:lt option; do
    case $option in
        n) scenarios=$OPTARG ;;
        s) seed=$OPTARG ;;
        c) chunk=$OPTARG ;;
        o) table=$OPTARG ;;
        p) portwise=$OPTARG ;;
        l) list=yes ;;
        t) only_table=yes ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))

for tool in apt-get dpkg-deb qemu-system-x86_64 busybox xz gzip; do
    command -v "$tool" >/dev/null || trouble "no $tool here"
done

# releases: every release that can be had, oldest first. Up to 6.18 a package linux-image holds all of
# it; from 6.19 on linux-binary holds the kernel and linux-modules, if it is still there, the rest.
releases() {
    apt apt-cache pkgnames linux- |
        sed -nE 's/^linux-(image|binary)-([0-9]+\.[0-9]+\.[0-9][^ ]*)-cloud-amd64$/\2/p' | sort -Vu |
        awk -v oldest="$oldest" '{ split($1, a, /[.+-]/); split(oldest, b, ".")
            if (a[1] > b[1] || (a[1] == b[1] && a[2] >= b[2])) print }'
}

# choose KERNEL: the newest release that starts with it.
choose() {
    awk -v want="$1" 'index($0, want) == 1 && (length($0) == length(want) ||
        substr($0, length(want) + 1, 1) ~ /[.+-]/) { last = $0 }
        END { if (last == "") exit 1; print last }' <<<"$available"
}

# write_table: every result of this seed as a row, and the features with a column for each kernel.
write_table() {
    local results=()
    mapfile -t results < <(find "$cache/results" -name "*-$seed" -printf '%f\n' | sort -V)
    echo '<!-- written by lab/kernels.sh -->'
    echo
    echo "Seed $seed, $(date -u +%F), emulated by $accel."
    echo
    (cd "$cache/results" && awk '
        FNR == 1 { n++; name[n] = FILENAME; sub(/-[0-9]+$/, "", name[n]) }
        /^features of Linux / { version[n] = $4 }
        /^steps: / { calls[n] += $2 }
        /^conform: / { all[n] += $2; bad[n] += $6; open[n] += $8 }
        /^took / { took[n] = $2 }
        /^without / { without[n] = without[n] " " $2 }
        /^(probe  version|features: )/ { probed = /^probe/ }
        probed && $3 ~ /^linux\./ && $1 ~ /^(yes|no|-)$/ && $2 ~ /^(yes|no|-)$/ {
            if (!($3 in seen)) { seen[$3] = 1; ids[++count] = $3 }
            cell[$3, n] = ($1 == "yes" ? "+" : $1 == "no" ? "-" : "?") ($4 == "DISAGREE" ? " **!**" : "")
        }
        END {
            print "| Linux | Debian package | scenarios | calls | disagree | open | seconds | without |"
            print "|---|---|---|---|---|---|---|---|"
            for (i = 1; i <= n; i++)
                printf "| %s | %s | %d | %d | %d | %d | %d |%s |\n", version[i], name[i],
                    all[i], calls[i], bad[i], open[i], took[i], without[i]
            print "\nWhat live probes found: + it has the feature, - it has not, ? the probe could not tell;"
            print "**!** where the version says otherwise.\n"
            line = "| feature |"; rule = "|---|"
            for (i = 1; i <= n; i++) { line = line " " version[i] " |"; rule = rule "---|" }
            print line "\n" rule
            for (f = 1; f <= count; f++) {
                line = "| `" ids[f] "` |"
                for (i = 1; i <= n; i++) line = line " " cell[ids[f], i] " |"
                print line
            }
        }' "${results[@]}")
    echo
    echo '<!-- end of what lab/kernels.sh writes -->'
}

# Between its marks the file is written anew; the rest is kept.
renew_table() {
    local scratch
    scratch=$(mktemp)
    if [[ -e $table ]]; then
        sed '/^<!-- written by/,$d' "$table" >"$scratch"
        write_table >>"$scratch"
        sed '1,/^<!-- end of what/d' "$table" >>"$scratch"
    else
        write_table >"$scratch"
    fi
    cat "$scratch" >"$table"
    rm -f "$scratch"
}

[[ -z $only_table ]] || { renew_table; exit 0; }
available=$(releases)
[[ -n $available ]] || trouble "no kernel can be had from ${suites[*]}"
[[ -z $list ]] || { echo "$available"; exit 0; }

wanted=()
if [[ $# -gt 0 ]]; then
    for kernel in "$@"; do
        release=$(choose "$kernel") || trouble "no kernel $kernel can be had (see $0 -l)"
        wanted+=("$release")
    done
else
    while read -r series; do wanted+=("$(choose "$series")"); done \
        < <(grep -oE '^[0-9]+\.[0-9]+' <<<"$available" | uniq)
fi

# The guest has no libraries. The host's tool chain can link statically without a further target.
if [[ -z $portwise ]]; then
    (cd "$here/.." && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked \
        --bin portwise --target x86_64-unknown-linux-gnu --target-dir target/static) >&2
    portwise=$here/../target/static/x86_64-unknown-linux-gnu/release/portwise
fi
[[ -x $portwise ]] || trouble "$portwise is no program"
mkdir -p "$cache"/{packages,results}

# unpack RELEASE: its packages, in $cache/packages/RELEASE.
unpack() {
    local release=$1 kept=$cache/packages/$1 package names=()
    [[ ! -e $kept/complete ]] || return 0
    rm -rf "$kept"
    mkdir -p "$kept/debs"
    for package in binary modules image; do
        package=linux-$package-$release-cloud-amd64
        [[ -z $(apt apt-cache show "$package" 2>/dev/null) ]] || names+=("$package")
    done
    (cd "$kept/debs" && apt apt-get -q download "${names[@]}") >"$kept/log" 2>&1 || return 1
    for package in "$kept"/debs/*.deb; do dpkg-deb -x "$package" "$kept"; done
    rm -rf "$kept/debs"
    touch "$kept/complete"
}

# What a scenario needs that is not built in.
modules=(inet_diag tcp_diag udp_diag raw_diag veth dummy)

# pack RELEASE DIRECTORY: the initramfs with which it boots.
pack() {
    local kept=$cache/packages/$1 root=$2/root module file
    mkdir -p "$root"/{bin,dev,proc,sys,tmp,modules}
    cp "$(command -v busybox)" "$root/bin/busybox"
    cp "$portwise" "$root/bin/portwise"
    for module in "${modules[@]}"; do
        file=$(find "$kept" -name "$module.ko" -o -name "$module.ko.xz" | head -1)
        case $file in
            *.xz) xz -dc "$file" >"$root/modules/$module.ko" ;;
            ?*) cp "$file" "$root/modules/$module.ko" ;;
        esac
    done
    cat >"$root/init" <<INIT
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox mount -t securityfs security /sys/kernel/security
/bin/busybox --install -s /bin
export PATH=/bin
tell() { sed 's/^/R /'; }
echo "release \$(uname -r)" | tell
for module in ${modules[*]}; do insmod /modules/\$module.ko 2>/dev/null || echo "without \$module" | tell; done
{ portwise conform --features; echo "features exit \$?"; } 2>&1 | tell
skip=0
while [ \$skip -lt $scenarios ]; do
    count=\$(($scenarios - skip)); [ \$count -le $chunk ] || count=$chunk
    { portwise conform --random \$count --seed $seed --skip \$skip; echo "random exit \$?"; } 2>&1 | tell
    skip=\$((skip + count))
done
for file in /tmp/*.jsonl; do [ ! -e "\$file" ] || sed 's/^/scenario /' "\$file" | tell; done
echo end | tell
reboot -f
INIT
    chmod +x "$root/init"
    (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$2/initrd"
}

# play RELEASE: boots it and keeps what it says.
play() {
    local release=$1 scratch kernel result=$cache/results/$1-$seed
    scratch=$(mktemp -d)
    pack "$release" "$scratch"
    kernel=$(find "$cache/packages/$release" -name 'vmlinuz*' | head -1)
    local started=$SECONDS options='console=ttyS0 quiet panic=-1'
    # Now and then QEMU runs a kernel into the code that it is just patching, and it dies at start.
    for _ in 1 2 3 4; do
        # Even a machine that was busy with four other things did 70 scenarios a second.
        timeout $((300 + scenarios / 25)) qemu-system-x86_64 -accel "$accel" -cpu max -m 1024 \
            -smp 2 -kernel "$kernel" -initrd "$scratch/initrd" -append "$options" \
            -serial stdio -nographic -no-reboot -nodefaults </dev/null 2>"$scratch/complaint" |
            tr -d '\r' | sed -n 's/^.*\bR //p' >"$scratch/result" || true
        ! grep -q '^release ' "$scratch/result" || break
    done
    echo "took $((SECONDS - started)) s" >>"$scratch/result"
    echo "portwise $("$portwise" --version | cut -d' ' -f2-)" >>"$scratch/result"
    mv "$scratch/result" "$result"
    rm -rf "$scratch"
}

# tally RESULT: scenarios, disagreements, seconds, and whether it came to its end.
tally() {
    awk '/^conform: / { all += $2; bad += $6; open += $8 } /^took / { took = $2 } /^end$/ { ended = 1 }
        END { print all + 0, bad + 0, open + 0, took + 0, ended + 0 }' "$1"
}

status=0
for release in "${wanted[@]}"; do
    if ! unpack "$release"; then
        echo "$release: not run: its packages could not be fetched (see $cache/packages/$release/log)"
        status=3
        continue
    fi
    play "$release"
    read -r all bad open took ended < <(tally "$cache/results/$release-$seed")
    echo "$release: $all scenarios, $bad disagree, $open unsupported, $took s"
    grep -E '^(feature .* DISAGREE|disagree:|not run:|without |portwise:)' "$cache/results/$release-$seed" | sed 's/^/    /' || true
    if [[ $bad -gt 0 ]] || grep -qE '(random|features) exit 1' "$cache/results/$release-$seed"; then
        [[ $status -eq 3 ]] || status=1
    elif grep -q '^without veth' "$cache/results/$release-$seed"; then
        : # There is no namespace to play in. The table says so.
    elif [[ $ended -eq 0 || $all -lt $scenarios ]]; then
        status=3
    fi
done

renew_table
exit $status
