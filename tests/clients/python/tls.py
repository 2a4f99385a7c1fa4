"""redis-py by TLS: tls.py PORT CA"""

import sys

import redis

port, ca = int(sys.argv[1]), sys.argv[2]
for protocol in (2, 3):
    client = redis.Redis(
        port=port, protocol=protocol, ssl=True, ssl_ca_certs=ca, ssl_cert_reqs="required"
    )
    client.set("a", "1")
    for _ in range(100):
        assert client.get("a") == b"1"

    # More than sockets hold, asked for before any of it is read.
    value = bytes(range(256)) * 4096
    client.set("large", value)
    pipeline = client.pipeline(transaction=False)
    for _ in range(40):
        pipeline.get("large")
    assert pipeline.execute() == [value] * 40

    with client.pipeline() as pipeline:
        assert pipeline.set("b", "2").get("b").execute() == [True, b"2"]

    with client.pubsub() as listener:
        listener.subscribe("news")
        assert listener.get_message(timeout=10)["type"] == "subscribe"
        client.publish("news", "hello")
        assert listener.get_message(timeout=10)["data"] == b"hello"
