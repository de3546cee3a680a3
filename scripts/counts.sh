#!/usr/bin/env bash
# Counts the instructions and allocations of each path of benches/counts, and compares them
# with benches/counts/expected.txt. Unlike times, they hardly depend on the machine.
#
#     scripts/counts.sh            # fails with the name of each path that has become more expensive
#     scripts/counts.sh --update   # writes the table anew
#     scripts/counts.sh NAME...    # compares these paths only
#
# Profiles are left in target/counts: callgrind_annotate target/counts/<path>.out
set -euo pipefail
cd "$(dirname "$0")/.."

expected=benches/counts/expected.txt
# Percent by which instructions may exceed the table: other releases of the compiler, of the
# allocator and of the processor's copying routines differ by a few. Allocations are exact.
tolerance=${COUNTS_TOLERANCE:-6}

if ! command -v valgrind >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "counts.sh: please install valgrind" >&2
        exit 1
    fi
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get update -q
    $sudo apt-get install -y -q --no-install-recommends valgrind
fi

# With line tables, so that the profiles name lines.
export CARGO_PROFILE_BENCH_DEBUG=line-tables-only
binary=$(cargo bench --package benches --bench counts --no-run --message-format=json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\/counts-[^"]*\)".*/\1/p' | tail -1)
mkdir -p target/counts

# Prints "name instructions allocations bytes" for each path.
count() {
    local name allocations bytes iterations instructions out
    while read -r name allocations bytes; do
        out=target/counts/${name//\//_}.out
        # The program prints how often the path ran, callgrind what it collected meanwhile.
        iterations=$(valgrind --tool=callgrind --toggle-collect='counts::measured*' \
            --callgrind-out-file="$out" --log-file="$out.log" "$binary" run "$name")
        instructions=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$out.log")
        rm "$out.log"
        echo "$name $((instructions / iterations)) $allocations $bytes"
    done
}

update=
if [ "${1:-}" = --update ]; then
    update=yes
    shift
fi
names="$*"
paths=$("$binary" allocations)
if [ -n "$names" ]; then
    for name in $names; do
        if ! grep -q "^$name " <<<"$paths"; then
            echo "counts.sh: there is no path $name; the paths are in $expected" >&2
            exit 1
        fi
    done
    paths=$(grep -xE "(${names// /|}) .*" <<<"$paths")
fi
counted=$(count <<<"$paths")

if [ -n "$update" ]; then
    {
        echo "# What one run of each path costs; made by scripts/counts.sh --update."
        echo "# $(rustc --version)"
        echo "# path, instructions, allocations, bytes"
        column -t <<<"$counted"
    } >"$expected"
    exit
fi

awk -v tolerance="$tolerance" -v partial="$names" '
    /^#/ { next }
    NR == FNR { instructions[$1] = $2; allocations[$1] = $3; next }
    {
        seen[$1] = 1
        if (!($1 in instructions)) {
            print $1 ": is not in the table, has " $2 " instructions and " $3 " allocations"
            failed = 1
            next
        }
        more = 100 * ($2 - instructions[$1]) / instructions[$1]
        if (more > tolerance) {
            printf "%s: %d instructions, expected %d (%+.1f %%)\n", $1, $2, instructions[$1], more
            failed = 1
        }
        if ($3 != allocations[$1]) {
            print $1 ": " $3 " allocations, expected " allocations[$1]
            failed = 1
        }
        if (more < -tolerance)
            printf "%s: %d instructions, expected %d (%+.1f %%): the table can be updated\n",
                $1, $2, instructions[$1], more
    }
    END {
        for (path in instructions)
            if (partial == "" && !(path in seen)) {
                print path ": is in the table, but not counted"
                failed = 1
            }
        if (!failed) print "counts.sh: all paths cost what they should"
        exit failed
    }
' "$expected" - <<<"$counted"
