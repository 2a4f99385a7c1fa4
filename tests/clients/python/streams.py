"""Streams: entries, ranges, groups of consumers, and reads that wait."""

import threading

from check import check, connect

client = connect()
client.flushall()


def entries(reply):
    """The reply to XREAD in one form for both versions of the protocol."""
    if isinstance(reply, dict):
        return {stream: [entry for part in found for entry in (part if isinstance(part, list) else [part])]
                for stream, found in reply.items()}
    return dict(reply or [])


check("xadd", client.xadd("s", {"n": "1"}, id="1-1"), "1-1")
check("xadd", client.xadd("s", {"n": "2", "m": "x"}, id="1-2"), "1-2")
check("xlen", client.xlen("s"), 2)
check("xrange", client.xrange("s"), [("1-1", {"n": "1"}), ("1-2", {"n": "2", "m": "x"})])
check("xrevrange", client.xrevrange("s", count=1), [("1-2", {"n": "2", "m": "x"})])
check("xread", entries(client.xread({"s": "1-1"})), {"s": [("1-2", {"n": "2", "m": "x"})]})
check("xread of nothing", entries(client.xread({"s": "9-9"})), {})
info = client.xinfo_stream("s")
check("xinfo", [info["length"], info["first-entry"]], [2, ("1-1", {"n": "1"})])

# A read that waits is woken by an entry, and one that nobody wakes ends by itself.
result = []
reader = threading.Thread(target=lambda: result.append(client.xread({"s": "$"}, block=10_000)))
reader.start()
number = 0
while reader.is_alive():
    number += 1
    client.xadd("s", {"late": "yes"}, id=f"2-{number}")
    reader.join(0.05)
got = entries(result[0])["s"]
check("xread that waited", got[0][1], {"late": "yes"})
check("xread that ran out", entries(client.xread({"s": "$"}, block=50)), {})

# Groups.
check("xgroup create", client.xgroup_create("s", "group", id="0"), True)
first = entries(client.xreadgroup("group", "me", {"s": ">"}, count=1))
check("xreadgroup", first, {"s": [("1-1", {"n": "1"})]})
second = entries(client.xreadgroup("group", "you", {"s": ">"}, count=1, block=1000))
check("xreadgroup that may wait", second, {"s": [("1-2", {"n": "2", "m": "x"})]})
pending = client.xpending("s", "group")
check("xpending", [pending["pending"], pending["min"], pending["max"]], [2, "1-1", "1-2"])
check("xack", client.xack("s", "group", "1-1"), 1)
check("xclaim", client.xclaim("s", "group", "me", 0, ["1-2"]), [("1-2", {"n": "2", "m": "x"})])
consumers = client.xinfo_consumers("s", "group")
check("xinfo consumers", sorted((found["name"], found["pending"]) for found in consumers), [("me", 1), ("you", 0)])
check("xtrim", client.xtrim("s", maxlen=1, approximate=False) > 0, True)
check("xlen", client.xlen("s"), 1)
