#!/usr/bin/env bash
# Runs all tests. The live test drives the registry with skopeo, which is
# installed first where it is missing (Debian and Ubuntu).
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v skopeo >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "test.sh: please install skopeo (https://github.com/containers/skopeo)" >&2
        exit 1
    fi
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get update -q
    $sudo apt-get install -y -q skopeo
fi

cargo test --all-features "$@"
