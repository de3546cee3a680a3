#!/usr/bin/env bash
# Measures deliveries beside a blocking socket, hyper's connection and the pooled
# client, with both ends on one core and with the receiver on another, and counts
# the system calls of each. Needs taskset, and perf or strace for the system calls.
#
#   benches/delivery.sh [core of the senders] [core of the receiver]
set -euo pipefail
cd "$(dirname "$0")/.."

core=${1:-0}
other=${2:-1}
program=$(cargo bench -q -p benches --bench delivery --no-run --message-format=json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
address=$(mktemp)
receiver=
stop() {
    [ -z "$receiver" ] || kill "$receiver" 2>/dev/null || true
    receiver=
}
trap 'stop; rm -f "$address"' EXIT

# Starts a receiver on a core.
start() {
    : >"$address"
    taskset -c "$1" "$program" receiver >"$address" &
    receiver=$!
    until [ -s "$address" ]; do sleep 0.05; done
    RECEIVER=$(cat "$address")
    export RECEIVER RECEIVER_PID=$receiver
}

# Prints the system calls that a command makes.
calls() {
    if perf stat -e raw_syscalls:sys_enter true >/dev/null 2>&1; then
        perf stat -x, -e raw_syscalls:sys_enter "$@" 2>&1 >/dev/null |
            sed -n 's/^\([0-9]*\),.*sys_enter.*/\1/p'
    else
        strace -f -c -o /dev/stdout "$@" 2>/dev/null |
            awk '$NF == "total" { print ($3 ~ /^[0-9.]+$/ && NF > 5) ? $4 : $3 }'
    fi
}

printf '## Both ends on one core\n\n'
start "$core"
taskset -c "$core" "$program"
stop

if [ "$(nproc)" -gt 1 ]; then
    printf '\n## The receiver on another core\n\n'
    start "$other"
    taskset -c "$core" "$program"
    stop
fi

printf '\n## System calls of a delivery\n\n| sender | calls |\n| --- | ---: |\n'
start "$core"
for sender in socket 'hyper, current-thread' 'pooled, current-thread' 'pooled, multi-thread' \
    'notifier, current-thread' 'notifier, multi-thread'; do
    # The difference of two runs is free of what a start costs.
    few=$(calls taskset -c "$core" "$program" one "$sender" 2000)
    many=$(calls taskset -c "$core" "$program" one "$sender" 6000)
    awk -v name="$sender" -v calls="$((many - few))" \
        'BEGIN { printf "| %s | %.2f |\n", name, calls / 4000 }'
done
