#!/usr/bin/env bash
# Runs all tests. Those in tests/peers need skopeo, buildah and docker-registry (the
# reference registry), which are installed first where they are missing (Debian,
# Ubuntu).
set -euo pipefail
cd "$(dirname "$0")/.."

missing=
for program in skopeo buildah docker-registry; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "test.sh: please install$missing" >&2
        exit 1
    fi
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get update -q
    # shellcheck disable=SC2086 # a list of names
    $sudo apt-get install -y -q --no-install-recommends $missing
fi

cargo test --workspace --all-features "$@"
