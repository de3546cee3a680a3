#!/usr/bin/env bash
# What notifications cost the proxy: wrk gets a manifest and a blob through it,
#
#   without   the layer, the proxy only forwards
#   layer     with the layer, whose events nobody wants: the endpoint ignores pulls
#   single    with an endpoint, one event a request
#   batched   with an endpoint, up to 100 events a request
#
# and the processor time of the proxy is told for each request, deliveries included.
# Needs wrk and Linux. Each mode has its turn in each round; the best round counts.
#
#   benches/load.sh [rounds] [seconds] [connections]
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1:-5}
seconds=${2:-4}
connections=${3:-4}
digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
modes='without layer single batched'
declare -A paths=([manifest]=manifests/latest [blob]=blobs/$digest)

command -v wrk >/dev/null || { echo 'load.sh: please install wrk' >&2; exit 1; }
executable() { sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1; }
echo 'Building …' >&2
peer=$(cargo bench -q -p benches --bench delivery --no-run --message-format=json | executable)
proxy=$(cargo build -q --release -p examples --features config --example proxy --message-format=json |
    executable)

scratch=$(mktemp -d)
pids=
cleanup() {
    # shellcheck disable=SC2086 # a list of numbers
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT

# Starts what prints its address; sets `address`.
peer() {
    "$peer" "$1" >"$scratch/$1" &
    pids="$pids $!"
    until [ -s "$scratch/$1" ]; do sleep 0.05; done
    address=$(cat "$scratch/$1")
}

# Nanoseconds of processor time that a process has used.
used() { cat /proc/"$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%d", sum }'; }

# The same, once it does nothing any more: the last event is delivered.
settled() {
    local before after
    after=$(used "$1")
    while before=$after; sleep 0.3; after=$(used "$1"); [ $((after - before)) -gt 3000000 ]; do :; done
    echo "$after"
}

config() {
    printf 'notifications:\n  endpoints:\n    - name: load\n      url: http://%s/events\n' "$receiver"
    printf '      timeout: 5s\n      threshold: 3\n      backoff: 1s\n'
    [ "$1" != layer ] || printf '      ignore:\n        actions: [pull]\n'
    [ "$1" != batched ] || printf '      batch:\n        events: 100\n        linger: 50ms\n'
}

# One run: prints what was asked for, the requests a second and the nanoseconds of a request.
run() {
    local kind=$1 mode=$2 options=(--without-layer) pid before after requests url
    if [ "$mode" != without ]; then
        config "$mode" >"$scratch/$mode.yml"
        options=(--config "$scratch/$mode.yml")
    fi
    # That of the run before would tell of another port.
    : >"$scratch/log"
    "$proxy" --listen 127.0.0.1:0 --upstream "http://$upstream" "${options[@]}" \
        >>"$scratch/log" 2>&1 &
    pid=$!
    pids="$pids $pid"
    until grep -q 'Listening on .*Ctrl-C' "$scratch/log"; do
        kill -0 "$pid" || { cat "$scratch/log" >&2; return 1; }
        sleep 0.05
    done
    url=http://$(sed -n 's/.*Listening on \([0-9.:]*\),.*/\1/p' "$scratch/log")
    url=$url/v2/library/debian/${paths[$kind]}
    wrk -t1 -c"$connections" -d1s "$url" >/dev/null
    before=$(settled "$pid")
    wrk -t1 -c"$connections" -d"$seconds"s "$url" >"$scratch/wrk"
    after=$(settled "$pid")
    kill "$pid"
    wait "$pid" 2>/dev/null || true
    if grep -q 'Non-2xx\|Socket errors' "$scratch/wrk"; then
        cat "$scratch/wrk" "$scratch/log" >&2
        exit 1
    fi
    requests=$(awk '/requests in/ { print $1 }' "$scratch/wrk")
    awk -v name="$kind $mode" -v r="$requests" -v s="$seconds" -v cpu=$((after - before)) \
        'BEGIN { printf "%s %d %d\n", name, r / s, cpu / r }'
}

peer upstream
upstream=$address
peer receiver
receiver=$address
for _ in $(seq "$rounds"); do
    for kind in manifest blob; do
        for mode in $modes; do
            run "$kind" "$mode" >>"$scratch/all"
        done
    done
done
printf '| GET of | mode | requests a second | µs of processor a request | more than without |\n'
printf '| --- | --- | ---: | ---: | ---: |\n'
for kind in manifest blob; do
    for mode in $modes; do
        awk -v kind="$kind" -v mode="$mode" '
            $1 == kind && (!($2 in best) || $4 < best[$2]) { best[$2] = $4; rate[$2] = $3 }
            END { printf "| %s | %s | %d | %.1f | %+.1f |\n", kind, mode, rate[mode],
                best[mode] / 1000, (best[mode] - best["without"]) / 1000 }' "$scratch/all"
    done
done
