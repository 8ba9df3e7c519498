"""Sets keys as redis-py's users do: `kv_hosts.py HOST PORT KEYS`. Prints those that could not be set, one a line."""

import sys

from redis.cluster import RedisCluster
from redis.exceptions import RedisError

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = RedisCluster(host=host, port=port, socket_timeout=20, socket_connect_timeout=20)
for number in range(count):
    key = f"key:{number}"
    try:
        assert client.set(key, number)
    except RedisError:
        print(key)
