#!/usr/bin/env bash
# What notifications cost the proxy: wrk gets a manifest and a blob through it,
#
#   without   the layer: the proxy only forwards
#   layer     with the layer, whose events nobody wants: the endpoint ignores pulls
#   single    with an endpoint, one event a request
#   batched   with an endpoint, up to 100 events a request
#
# and the processor time of the proxy is told for each request, deliveries included.
# Needs wrk, taskset and Linux with two cores.
#
#   benches/load.sh [rounds] [seconds] [connections] [core of the proxy] [core of the rest]
#
# PROFILE=dist measures the proxy as operators build it, which takes minutes to build.
#
# The proxy has a core for itself, and the load must be more than it can serve: a proxy that
# waits for requests sleeps and wakes between them, which costs it more than the layer does,
# and the more so the faster it is. All four proxies run from the beginning, are warmed up,
# and have their turn in each round, so that what changes on the machine changes all of them.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1:-7}
seconds=${2:-2}
connections=${3:-16}
core=${4:-1}
other=${5:-0}
digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
modes='without layer single batched'
declare -A paths=([manifest]=manifests/latest [blob]=blobs/$digest) pid=() url=()

for program in wrk taskset; do
    command -v $program >/dev/null || { echo "load.sh: please install $program" >&2; exit 1; }
done
executable() { sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1; }
echo 'Building …' >&2
peer=$(cargo bench -q -p benches --bench delivery --no-run --message-format=json-render-diagnostics | executable)
proxy=$(cargo build -q --profile "${PROFILE:-release}" -p examples --features config --example proxy --message-format=json-render-diagnostics |
    executable)

scratch=$(mktemp -d)
peers=
cleanup() {
    # shellcheck disable=SC2086 # a list of numbers
    [ -z "$peers${pid[*]}" ] || kill $peers ${pid[*]} 2>/dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT

# Starts what prints its address; sets `address`.
peer() {
    taskset -c "$other" "$peer" "$1" >"$scratch/$1" &
    peers="$peers $!"
    until [ -s "$scratch/$1" ]; do sleep 0.05; done
    address=$(cat "$scratch/$1")
}

# Nanoseconds of processor time that the threads of a process have used.
used() { cat /proc/"$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f", sum }'; }

# The same, once it does nothing any more: the last event is delivered.
settled() {
    local before after
    after=$(used "$1")
    while before=$after; sleep 0.2; after=$(used "$1"); [ $((after - before)) -gt 2000000 ]; do :; done
    echo "$after"
}

config() {
    printf 'notifications:\n  endpoints:\n    - name: load\n      url: http://%s/events\n' "$receiver"
    printf '      timeout: 5s\n      threshold: 3\n      backoff: 1s\n'
    printf '      queue:\n        events: 1000000\n        bytes: 1GiB\n'
    [ "$1" != layer ] || printf '      ignore:\n        actions: [pull]\n'
    [ "$1" != batched ] || printf '      batch:\n        events: 100\n        linger: 50ms\n'
}

# Starts the proxy in one mode.
start() {
    local mode=$1 options=(--without-layer) log=$scratch/$1.log
    if [ "$mode" != without ]; then
        config "$mode" >"$scratch/$mode.yml"
        options=(--config "$scratch/$mode.yml")
    fi
    taskset -c "$core" "$proxy" --listen 127.0.0.1:0 --upstream "http://$upstream" "${options[@]}" \
        >"$log" 2>&1 &
    pid[$mode]=$!
    until grep -q 'Listening on .*Ctrl-C' "$log"; do
        kill -0 "${pid[$mode]}" || { cat "$log" >&2; return 1; }
        sleep 0.05
    done
    url[$mode]=http://$(sed -n 's/.*Listening on \([0-9.:]*\),.*/\1/p' "$log")/v2/library/debian
}

# Loads a proxy for some seconds. Prints how many requests it has served.
load() {
    local kind=$1 mode=$2
    taskset -c "$other" wrk -t1 -c"$connections" -d"$3"s "${url[$mode]}/${paths[$kind]}" >"$scratch/wrk"
    if grep -q 'Non-2xx\|Socket errors' "$scratch/wrk"; then
        cat "$scratch/wrk" "$scratch/$mode.log" >&2
        return 1
    fi
    awk '/requests in/ { print $1 }' "$scratch/wrk"
}

# One measurement: prints what was asked for, the requests a second, and the nanoseconds of
# processor time a request.
run() {
    local kind=$1 mode=$2 before after requests
    before=$(settled "${pid[$mode]}")
    requests=$(load "$kind" "$mode" "$seconds")
    after=$(settled "${pid[$mode]}")
    awk -v name="$kind $mode" -v r="$requests" -v s="$seconds" -v cpu=$((after - before)) \
        'BEGIN { printf "%s %d %d\n", name, r / s, cpu / r }'
}

peer upstream
upstream=$address
peer receiver
receiver=$address
for mode in $modes; do start "$mode"; done
for mode in $modes; do
    for kind in manifest blob; do load "$kind" "$mode" 1 >/dev/null; done
done
for _ in $(seq "$rounds"); do
    for kind in manifest blob; do
        for mode in $modes; do
            run "$kind" "$mode" >>"$scratch/all"
        done
    done
done

# All events must have been delivered, or their cost is not in the numbers.
for mode in $modes; do
    kill -INT "${pid[$mode]}"
    wait "${pid[$mode]}" || true
    unset "pid[$mode]"
    if [ "$mode" != without ] && ! grep -q 'All events were delivered' "$scratch/$mode.log"; then
        cat "$scratch/$mode.log" >&2
        exit 1
    fi
done

awk -v modes="$modes" '
    # The middle of what is in list[1..n].
    function median(list, n,    i, j, swap) {
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
                swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap
            }
        return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    }
    {
        key = $1 " " $2
        n = ++count[key]
        cpu[key, n] = $4 / 1000
        if (!(key in best) || $4 / 1000 < best[key]) best[key] = $4 / 1000
        if ($3 > rate[key]) rate[key] = $3
    }
    END {
        print "| GET of | mode | requests a second | µs of processor a request: least | middle | " \
            "more than without: of the least | middle of the rounds |"
        print "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
        split("manifest blob", kinds, " ")
        count_modes = split(modes, mode, " ")
        for (k = 1; k <= 2; k++)
            for (m = 1; m <= count_modes; m++) {
                key = kinds[k] " " mode[m]
                without = kinds[k] " without"
                rounds = count[key]
                for (i = 1; i <= rounds; i++) {
                    all[i] = cpu[key, i]
                    more[i] = cpu[key, i] - cpu[without, i]
                }
                printf "| %s | %s | %d | %.1f | %.1f | %+.1f | %+.1f |\n", kinds[k], mode[m], \
                    rate[key], best[key], median(all, rounds), best[key] - best[without], \
                    median(more, rounds)
            }
    }' "$scratch/all"
