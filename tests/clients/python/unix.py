"""redis-py by a Unix socket: unix.py PATH"""

import sys

import redis

for protocol in (2, 3):
    client = redis.Redis(unix_socket_path=sys.argv[1], protocol=protocol)
    client.set("a", "1")
    for _ in range(100):
        assert client.get("a") == b"1"
    with client.pipeline() as pipeline:
        assert pipeline.set("b", "2").get("b").execute() == [True, b"2"]
