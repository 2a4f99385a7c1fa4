"""What a client does that knows nothing of clusters, and one that does, over keys of all nodes.

A third argument says which: plain, cluster or asynchronous.
"""

import asyncio
import sys

import redis
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.cluster import RedisCluster

from check import OPTIONS, PORT, PROTOCOL, check, check_raises, connect

MODE = sys.argv[3]
KEYS = [f"key:{number}" for number in range(300)]
VALUES = {key: f"value of {key}" for key in KEYS}


def run(client):
    check("flushall", bool(client.flushall()), True)
    check("ping", client.ping(), True)
    check("set", all(client.set(key, value) for key, value in VALUES.items()), True)
    for _ in range(2):
        check("get", all(client.get(key) == value for key, value in VALUES.items()), True)
    check("dbsize", client.dbsize(), 300)
    check("keys", set(client.keys("key:*")) == set(KEYS), True)
    check("scan_iter", set(client.scan_iter("key:*", count=50)) == set(KEYS), True)
    check("randomkey", client.randomkey() in KEYS, True)
    check("exists", client.exists(*KEYS[:5], "missing"), 5)
    check("touch", client.touch(*KEYS[:5]), 5)
    check("delete", client.delete(*KEYS[:5]), 5)
    check("unlink", client.unlink(*KEYS[:10]), 5)

    # A pipeline without a transaction.
    pipeline = client.pipeline(transaction=False)
    for key in KEYS[:50]:
        pipeline.set(key, "piped").get(key)
    check("pipeline", pipeline.execute() == [True, "piped"] * 50, True)

    # Several keys of one slot.
    check("mset", client.mset({"{tag}a": 1, "{tag}b": 2}), True)
    check("mget", client.mget("{tag}a", "{tag}b", "{tag}c"), ["1", "2", None])
    check("rename", bool(client.rename("{tag}a", "{tag}c")), True)
    check("get what was renamed", client.get("{tag}c"), "1")
    check("sadd", client.sadd("{tag}s", "x", "y"), 2)
    check("sinterstore", client.sinterstore("{tag}t", "{tag}s"), 2)

    # Scripts.
    increment = client.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    numbers = [increment(keys=[f"number:{number}"], args=[2]) for number in range(20) for _ in range(2)]
    check("script", numbers, [2, 4] * 20)
    check("eval", client.eval("return {KEYS[1], KEYS[2]}", 2, "{tag}a", "{tag}b"), ["{tag}a", "{tag}b"])
    check("script_exists", client.script_exists(increment.sha, "0" * 40), [True, False])

    # Lists that are waited for, streams, a lock.
    check("rpush", client.rpush("list", "a", "b"), 2)
    check("blpop", tuple(client.blpop(["list"], timeout=5)), ("list", "a"))
    check("blpop in vain", client.blpop(["nothing"], timeout=0.05), None)
    client.xadd("stream", {"f": "v"}, id="1-1")
    client.xgroup_create("stream", "group", id="0")
    check("xreadgroup", "1-1" in str(client.xreadgroup("group", "me", {"stream": ">"})), True)
    check("xack", client.xack("stream", "group", "1-1"), 1)
    with client.lock("lock", timeout=10):
        check("locked", client.exists("lock"), 1)
    check("unlocked", client.exists("lock"), 0)

    # Messages.
    messages = client.pubsub(ignore_subscribe_messages=True)
    messages.subscribe("channel")
    while messages.get_message(timeout=0.1):
        pass
    while not client.publish("channel", "hello"):
        pass
    message = None
    while message is None:
        message = messages.get_message(timeout=5)
    check("message", message["data"], "hello")
    messages.close()


def run_plain(client):
    """What needs a client that does not sort keys by slot itself."""
    check("mset of all", client.mset(VALUES), True)
    check("mget of all", client.mget(KEYS) == list(VALUES.values()), True)
    with client.pipeline() as pipeline:
        check("transaction", pipeline.incr("{t}a").incr("{t}a").get("{t}a").execute(), [1, 2, "2"])
        pipeline.watch("{t}a")
        pipeline.multi()
        check("watched", pipeline.incr("{t}a").execute(), [3])
    check("transaction", client.transaction(lambda pipe: pipe.multi() or pipe.incr("{t}a"), "{t}a"), [4])
    check_raises("two slots", redis.ResponseError, "same slot", lambda: client.rename("a", "b"))
    messages = client.pubsub(ignore_subscribe_messages=True)
    messages.ssubscribe("shard")
    while messages.get_message(timeout=0.1):
        pass
    while not client.spublish("shard", "hello"):
        pass
    message = None
    while message is None:
        message = messages.get_message(timeout=5)
    check("sharded message", message["data"], "hello")


def run_cluster(client):
    """What a client of a cluster adds."""
    ports = [node.port for node in client.get_nodes()]
    check("nodes", ports == [PORT], True)
    check("mset of all", all(client.mset_nonatomic(VALUES)), True)
    check("mget of all", client.mget_nonatomic(KEYS) == list(VALUES.values()), True)
    check("cluster state", client.cluster_info()["cluster_state"], "ok")
    check("keyslot", client.cluster_keyslot("somekey"), 11058)
    # It has not met another node on the way.
    check("nodes", [node.port for node in client.get_nodes()] == [PORT], True)


async def run_asynchronous():
    client = AsyncRedisCluster(host="127.0.0.1", port=PORT, protocol=PROTOCOL, decode_responses=True)
    check("flushall", bool(await client.flushall()), True)
    for start in range(0, len(KEYS), 50):
        keys = KEYS[start : start + 50]
        check("set", all(await asyncio.gather(*(client.set(key, VALUES[key]) for key in keys))), True)
        values = await asyncio.gather(*(client.get(key) for key in keys))
        check("get", values == [VALUES[key] for key in keys], True)
    check("mget", await client.mget_nonatomic(KEYS) == list(VALUES.values()), True)
    check("nodes", [node.port for node in client.get_nodes()] == [PORT], True)
    await client.aclose()


if MODE == "plain":
    plain = connect()
    run(plain)
    run_plain(plain)
elif MODE == "cluster":
    cluster = RedisCluster(**OPTIONS)
    run(cluster)
    run_cluster(cluster)
else:
    asyncio.run(run_asynchronous())
