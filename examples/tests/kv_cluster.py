"""Uses a cluster as redis-py's users do: `kv_cluster.py PORT KEYS`."""

import sys

from redis.cluster import RedisCluster

port, count = map(int, sys.argv[1:])
client = RedisCluster(host="127.0.0.1", port=port)
for number in range(count):
    assert client.set(f"key:{number}", number)
for number in range(count):
    assert int(client.get(f"key:{number}")) == number
assert sum(1 for _ in client.scan_iter(count=1000)) == count
assert client.mget_nonatomic("key:1", "key:2", "key:3") == [b"1", b"2", b"3"]

pipeline = client.pipeline()
for number in range(1000):
    pipeline.incr(f"key:{number}")
assert pipeline.execute() == [number + 1 for number in range(1000)]

assert client.mset({"{user}:a": 1, "{user}:b": 2})
assert client.mget("{user}:a", "{user}:b") == [b"1", b"2"]
assert client.delete("{user}:a", "{user}:b") == 2
slot = client.cluster_keyslot("key:1")
assert "key:1" in client.cluster_get_keys_in_slot(slot, 10)
assert client.cluster_countkeysinslot(slot) >= 1
assert client.cluster_info()["cluster_state"] == "ok"

nodes = client.cluster_nodes()
assert len(nodes) == len(client.get_primaries()) == len(client.cluster_shards())
assert all(node["connected"] and "master" in node["flags"] for node in nodes.values())

# Replicas are asked first, if there are any: READONLY is said to every node.
reader = RedisCluster(host="127.0.0.1", port=port, read_from_replicas=True)
assert int(reader.get("key:5000")) == 5000
print("all is well")
