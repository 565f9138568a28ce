#!/usr/bin/env bash
# Interrupts `portwise try` at random moments, and looks for what it leaves behind.
#
#   bench/try-interrupt.sh [RUNS [PORTWISE]]
#
# RUNS (default 1000) times: starts `try`, with a server that leaves children behind or without one,
# as root or without the right to make namespaces, sends SIGINT, SIGTERM or SIGKILL after up to half a second, and
# waits for processes, devices and mounts to be as before. All of it happens in namespaces of its
# own, in which there is nothing else to be counted, and in which the kernel allows no more network
# namespaces than a few runs need: had each run left one behind, the runs after it could not start.
# Exit: 0, 1 if anything was left, 3 if no such namespaces can be made here.
set -euo pipefail
export LC_ALL=C
root=$(dirname "$(readlink -f "$0")")/..
runs=${1:-1000}
portwise=${2:-$root/target/release/portwise}
limit=60

if [[ ${PORTWISE_INTERRUPT_INSIDE:-} != 1 ]]; then
    if [[ ! -x $portwise ]]; then (cd "$root" && cargo build --quiet --release --locked --bin portwise); fi
    inside=(unshare --user --map-root-user --pid --fork --kill-child --mount-proc --net)
    if ! "${inside[@]}" true 2>/dev/null; then
        echo "not run: interruptions of try: no namespaces can be made here"
        exit 3
    fi
    PORTWISE_INTERRUPT_INSIDE=1 exec "${inside[@]}" bash "$0" "$runs" "$(readlink -f "$portwise")"
fi

echo "$limit" >/proc/sys/user/max_net_namespaces
export PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
ip link add lan0 type veth peer name lan1
ip link set lan0 up
ip link set lan1 up
ip addr add 192.0.2.10/24 dev lan0
ip addr add 2001:db8::10/64 dev lan0 nodad

# What there is, but for the processes of this script: a subshell would count itself.
look() {
    local all=(/proc/[0-9]*) links
    processes=${#all[@]}
    links=(/sys/class/net/*)
    new=0
    # One that goes when somebody else removes its directory is not ours.
    while read -r id _ _ _ at _; do [[ ${mounts[$id $at]:-} ]] || new=$((new + 1)); done </proc/self/mountinfo
    state="$processes processes, $(($(</proc/self/net/dev wc -l) - 2)) devices, $new new mounts"
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
declare -A mounts
while read -r id _ _ _ at _; do mounts[$id $at]=there; done </proc/self/mountinfo
look
before=$state

# A server that goes into the background, twice, and never listens.
server=(sh -c 'setsid sh -c "sleep 1000 & sleep 1000" & sleep 1000')
signals=(INT TERM KILL)
interrupted=0 ended=0
for ((i = 0; i < runs; i++)); do
    command=("$portwise" -q try 192.0.2.10:8080 '[::]:80' 127.0.0.1:53/udp)
    if ((RANDOM % 2)); then command=(setpriv --bounding-set=-all,+setfcap "${command[@]}"); fi
    if ((RANDOM % 2)); then command+=(-- "${server[@]}"); fi
    # What a shell starts in the background ignores SIGINT.
    env --default-signal=INT "${command[@]}" >"$scratch/out" 2>&1 &
    pid=$!
    printf -v pause '0.%03d' $((RANDOM % 500))
    sleep "$pause"
    if kill -"${signals[RANDOM % 3]}" "$pid" 2>/dev/null; then interrupted=$((interrupted + 1)); fi
    status=0
    wait "$pid" 2>/dev/null || status=$?
    case $status in
        0 | 1 | 130 | 137 | 143) ;;
        *)
            echo "run $i ended with status $status: ${command[*]}"
            cat "$scratch/out"
            exit 1
            ;;
    esac
    if [[ $status -le 1 ]]; then ended=$((ended + 1)); fi
    # Processes end and namespaces are taken down a moment later.
    for ((n = 0; n < 200; n++)); do
        look
        if [[ $state == "$before" ]]; then break; fi
        sleep 0.02
    done
    if [[ $state != "$before" ]]; then
        echo "run $i left something: before: $before; now: $state"
        for process in /proc/[0-9]*; do echo "$process: $(tr '\0' ' ' <"$process/cmdline")"; done
        exit 1
    fi
done
spaces=$(for process in /proc/[0-9]*; do readlink "$process/ns/net" || true; done | sort -u | wc -l)
echo "$runs runs, $interrupted interrupted, $ended ended before: always back to $before, $spaces network namespace"
[[ $spaces -eq 1 ]]
