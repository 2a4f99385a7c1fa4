"""An application that uses redis-py by itself: one client for everything."""

import sys
import threading

import redis

PORT = int(sys.argv[1])
client = redis.Redis(port=PORT, decode_responses=True)


def look():
    """What it reads again and again."""
    return [
        client.get("title"),
        client.hgetall("user:1"),
        client.hget("user:1", "name"),
        client.smembers("tags"),
        client.sismember("tags", "a"),
        client.lrange("recent", 0, -1),
        client.zrange("scores", 0, -1, withscores=True),
        client.zscore("scores", "ann"),
        client.exists("user:1"),
        client.mget("title", "none", "number"),
        client.strlen("title"),
        client.type("tags"),
    ]


def looks(times=5):
    for _ in range(times):
        print(look())


client.set("title", "first")
client.set("number", 1)
client.hset("user:1", mapping={"name": "ann", "age": "30"})
client.sadd("tags", "a")
client.rpush("recent", "one", "two")
client.zadd("scores", {"ann": 3, "bob": 1.5})
looks()

# Pipelines are transactions by default.
with client.pipeline() as pipeline:
    pipeline.set("title", "second").incr("number").get("title").hgetall("user:1")
    print(pipeline.execute())
looks()

# A transaction that watches a key.
with client.pipeline() as pipeline:
    pipeline.watch("number")
    number = int(pipeline.get("number"))
    pipeline.multi()
    pipeline.set("number", number + 1)
    print(pipeline.execute())
looks()
print(client.transaction(lambda pipeline: pipeline.multi() or pipeline.incr("number"), "number"))
looks()

# A lock, and a script that limits a rate.
with client.lock("lock", timeout=10):
    print("locked")
    looks(2)
limit = client.register_script(
    "local n = redis.call('INCR', KEYS[1]) redis.call('EXPIRE', KEYS[1], ARGV[1]) return n"
)
print([limit(keys=["limit:ann"], args=[60]) for _ in range(10)])
looks()

# A stream with a group, and a queue that blocks.
client.xgroup_create("stream", "group", mkstream=True)
client.xadd("stream", {"n": 1}, id="1-1")
for _ in range(3):
    entries = client.xreadgroup("group", "me", {"stream": ">"}, count=10, block=10)
    print(entries)
    for _, found in entries if isinstance(entries, list) else entries.items():
        for entry in found[0] if isinstance(entries, dict) else found:
            print(client.xack("stream", "group", entry[0]))
    looks(2)
print(client.xrange("stream"), client.xlen("stream"), client.xrange("stream"), client.xlen("stream"))
threading.Timer(0.1, lambda: client.rpush("queue", "job")).start()
print(client.blpop("queue", 10), client.blpop("queue", 0.05))
looks()

# Messages.
messages = client.pubsub()
messages.subscribe("news")
print(messages.get_message(timeout=5)["type"])
print(client.publish("news", "something"))
print(messages.get_message(timeout=5)["data"])
looks()
messages.close()

# What looks at all keys, and removes some.
print(sorted(client.scan_iter("*:*")))
client.expire("title", 1000)
looks()
client.unlink("title", "tags")
looks()
