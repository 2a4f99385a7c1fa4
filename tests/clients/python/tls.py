"""redis-py by TLS: tls.py PORT CA"""

import socket
import ssl
import sys
import time

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
        assert listener.get_message(timeout=30)["type"] == "subscribe"
        client.publish("news", "hello")
        assert listener.get_message(timeout=30)["data"] == b"hello"

# Who says QUIT at once and reads late gets all replies before the end, wherever in them sockets are full.
context = ssl.create_default_context(cafile=ca)
value = b"x" * 30000
client.set("v", value)
one = b"$%d\r\n%s\r\n" % (len(value), value)
for count in range(1, 120):
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("localhost", port))
        with context.wrap_socket(plain, server_hostname="localhost") as raw:
            raw.sendall(b"GET v\r\n" * count + b"QUIT\r\n")
            # Nothing shows that the proxy can send no more: without this, it would rarely come to that.
            time.sleep(0.01)
            received = bytearray()
            while piece := raw.recv(65536):
                received += piece
    assert received == one * count + b"+OK\r\n", (count, len(received))
