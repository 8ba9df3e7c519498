#!/usr/bin/env python3
"""Counts what a rolling restart by --join-port costs clients that make a connection for each request.

    ip netns add restart && ip -n restart link set lo up
    ip netns exec restart sysctl -q net.ipv4.tcp_migrate_req=1      # and once with 0
    ip netns exec restart scripts/deploy/restart-loss.py target/release/kv

It replaces the server as often as it is told while the clients ask, and prints how many answers there were, and how
each failure came about. Ends with 1 if there was one.
"""

import argparse
import collections
import signal
import socket
import subprocess
import sys
import threading

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("kv", help="the key-value server")
parser.add_argument("--restarts", type=int, default=40)
parser.add_argument("--clients", type=int, default=16)
parser.add_argument("--port", type=int, default=6379)
arguments = parser.parse_args()


def start():
    """A server that listens, beside the one that is there."""
    command = [arguments.kv, "--unpinned", "--shards", "2", "--port", str(arguments.port), "--join-port"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    if not server.stdout.readline():
        sys.exit("it does not listen")
    return server


def ask(outcomes):
    """Asks once, and notes what came of it."""
    step = "connect"
    try:
        with socket.create_connection(("127.0.0.1", arguments.port), timeout=20) as stream:
            step = "write"
            stream.sendall(b"*1\r\n$4\r\nPING\r\n")
            step = "read"
            outcomes["answers" if stream.recv(7) else "read: closed without an answer"] += 1
    except OSError as error:
        outcomes[f"{step}: {error.strerror or error}"] += 1


def load(is_over, outcomes):
    while not is_over.is_set():
        ask(outcomes)


is_over = threading.Event()
outcomes = [collections.Counter() for _ in range(arguments.clients)]
server = start()
clients = [threading.Thread(target=load, args=(is_over, counter)) for counter in outcomes]
for client in clients:
    client.start()
for _ in range(arguments.restarts):
    replaced, server = server, start()
    replaced.send_signal(signal.SIGTERM)
    replaced.wait()
is_over.set()
for client in clients:
    client.join()
server.terminate()
server.wait()
total = sum(outcomes, collections.Counter())
print(", ".join(f"{count} {outcome}" for outcome, count in total.most_common()))
sys.exit(1 if len(total) > 1 else 0)
