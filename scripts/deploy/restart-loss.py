#!/usr/bin/env python3
"""Counts what rolling restarts cost clients that make a connection for each request.

    ip netns add restart && ip -n restart link set lo up
    ip netns exec restart sysctl -q net.ipv4.tcp_migrate_req=1      # and once with 0
    ip netns exec restart scripts/deploy/restart-loss.py target/release/kv target/release/bench-harness
    scripts/deploy/restart-loss.py --hand-over target/release/kv target/release/bench-harness

The server is replaced as often as it is told while bench-harness sends requests, by one with --join-port, or by one
that is handed the same listening socket. Prints how many requests there were, and what became of their connections.
Ends with 1 if one was lost.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("kv", help="the key-value server")
parser.add_argument("harness", help="bench-harness")
parser.add_argument("--hand-over", action="store_true", help="one socket for all, in place of --join-port")
parser.add_argument("--restarts", type=int, default=40)
parser.add_argument("--connections", type=int, default=16, help="at a time")
parser.add_argument("--rate", default="2000", help="requests a second")
parser.add_argument("--port", type=int, default=6379)
arguments = parser.parse_args()

listener = None
if arguments.hand_over:
    listener = socket.create_server(("127.0.0.1", arguments.port), backlog=1024)


def start():
    """A server that listens, beside the one that is there."""
    command = [arguments.kv, "--unpinned", "--shards", "2"]
    environment, descriptors = dict(os.environ), ()
    if listener:
        # What is handed over begins with number 3, and belongs to the process that the variable names.
        script = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ exec "$@"'
        command = ["sh", "-c", script, "sh", *command, "--inherited", "kv"]
        environment |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "kv"}
        descriptors = (listener.fileno(),)
    else:
        command += ["--port", str(arguments.port), "--join-port"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, pass_fds=descriptors)
    if not server.stdout.readline():
        sys.exit("it does not listen")
    return server


def keys():
    """How many keys the servers have been sent."""
    with socket.create_connection(("127.0.0.1", arguments.port), timeout=20) as stream:
        stream.sendall(b"*1\r\n$6\r\nDBSIZE\r\n")
        return int(stream.recv(64)[1:])


server = start()
load = subprocess.Popen(
    [arguments.harness, "attack", f"redis://127.0.0.1:{arguments.port}", "--reconnect", "1", "--rate", arguments.rate]
    + ["--connections", str(arguments.connections), "--duration", "10m", "--warmup", "0s", "--noise", "0s"]
    + ["--mix", "get=0,set=1", "--no-preload", "--no-files", "--format", "json"],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
)
for _ in range(arguments.restarts):
    while not keys():
        if load.poll() is not None:
            sys.exit("bench-harness has ended")
    replaced, server = server, start()
    replaced.send_signal(signal.SIGTERM)
    replaced.wait()
load.send_signal(signal.SIGINT)
point = json.loads(load.communicate()[0])["points"][0]
server.terminate()
server.wait()
connections, ledger = point["connections"], point["ledger"]
kinds = ["opened", "lost", "refused", "reset", "closed", "unopened"]
print(f"{arguments.restarts} restarts: {ledger['sent']} requests, {ledger['ok']} answered;", end=" ")
print("connections:", ", ".join(f"{connections[kind]} {kind}" for kind in kinds), end="; ")
print(f"response max {point['response']['max_ns'] / 1e6:.0f} ms")
sys.exit(1 if connections["lost"] else 0)
