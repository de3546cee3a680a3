#!/usr/bin/env python3
"""Times a push through the registry example with and without a journal, in pairs.

    cargo build --release --example registry --features journal
    scripts/push_with_journal.py [pushes] [program]

Each pair pushes the same blob to both registries over a connection that stays
open, in turns, and appends 4 KiB to a file beside the journal and syncs it: many
disks need longer for that when they have paused before. Prints the median and the
99th percentile of each, and of the difference within a pair, in microseconds.
"""

import hashlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(program, journal=None):
    port = free_port()
    # Nobody listens there: no delivery disturbs the measurement.
    endpoint = f"http://127.0.0.1:{free_port()}/"
    options = ["--listen", f"127.0.0.1:{port}", "--endpoint", endpoint]
    if journal:
        options += ["--journal", journal]
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen([program, *options], stdout=nowhere, stderr=nowhere)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.01)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return process, connection


def push(connection, content):
    digest = hashlib.sha256(content).hexdigest()
    path = f"/v2/bench/push/blobs/uploads/?digest=sha256:{digest}"
    began = time.perf_counter()
    connection.request("POST", path, content, {"Content-Type": "application/octet-stream"})
    response = connection.getresponse()
    response.read()
    took = time.perf_counter() - began
    if response.status != 201:
        sys.exit(f"a push was answered {response.status}")
    return took * 1e6


def sync(file):
    began = time.perf_counter()
    os.write(file, bytes(4096))
    os.fdatasync(file)
    return (time.perf_counter() - began) * 1e6


def show(name, times):
    times = sorted(times)
    p99 = times[len(times) * 99 // 100]
    print(f"{name:>10}: median {statistics.median(times):7.0f} µs, 99 % {p99:7.0f} µs")


def main():
    pushes = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    program = sys.argv[2] if len(sys.argv) > 2 else "target/release/examples/registry"
    # Not in /tmp, which may be in memory.
    with tempfile.TemporaryDirectory(dir="target") as folder:
        without = start(program)
        durable = start(program, os.path.join(folder, "journal"))
        file = os.open(os.path.join(folder, "appended"), os.O_CREAT | os.O_WRONLY)
        try:
            pairs = []
            for number in range(pushes + 50):
                content = f"blob {number}".encode()
                plain = push(without[1], content)
                # In turns, because the first of the two finds a disk that has paused.
                if number % 2:
                    synced, kept = sync(file), push(durable[1], content)
                else:
                    kept, synced = push(durable[1], content), sync(file)
                pair = [plain, kept, synced]
                if number >= 50:
                    pairs.append(pair)
        finally:
            os.close(file)
            for process, _ in (without, durable):
                process.kill()
                process.wait()
    show("without", [pair[0] for pair in pairs])
    show("journal", [pair[1] for pair in pairs])
    show("difference", [pair[1] - pair[0] for pair in pairs])
    show("sync", [pair[2] for pair in pairs])


if __name__ == "__main__":
    main()
