import random
import sys
import time

import redis
from redis.cluster import RedisCluster

port, name, requests, keys = sys.argv[1:]
kind = RedisCluster if name == "RedisCluster" else redis.Redis
client = kind(host="127.0.0.1", port=int(port))
drawn = [f"key:{random.randrange(int(keys)):012}" for _ in range(int(requests))]
assert client.get(drawn[0])
start, cpu = time.perf_counter(), time.process_time()
for key in drawn:
    client.get(key)
wall, cpu = time.perf_counter() - start, time.process_time() - cpu
print(wall * 1e6 / len(drawn), cpu * 1e6 / len(drawn))
