"""Every type of value, and what a client does with replies of every kind."""

import redis

from check import check, check_raises, connect

client = connect()
client.flushall()

check("ping", client.ping(), True)
check("echo", client.echo("hello"), "hello")

# Strings: each is read twice, so that the second may come from a cache.
check("set", client.set("text", "one"), True)
check("get", [client.get("text") for _ in range(2)], ["one", "one"])
check("set again", client.set("text", "two"), True)
check("get what was set", client.get("text"), "two")
check("get a missing key", client.get("missing"), None)
check("mset", client.mset({"a": 1, "b": 2}), True)
check("mget", client.mget("a", "missing", "b", "a"), ["1", None, "2", "1"])
check("set if not there", client.set("text", "three", nx=True), None)
check("set and get", client.set("text", "three", get=True), "two")
check("getdel", client.getdel("text"), "three")
check("get what was deleted", client.get("text"), None)
check("incr", [client.incr("counter") for _ in range(3)], [1, 2, 3])
check("get the counter", client.get("counter"), "3")
check("incrbyfloat", client.incrbyfloat("float", 1.5), 1.5)
check("append", client.append("a", "23"), 3)
check("get what was appended to", client.get("a"), "123")
check("setrange", client.setrange("a", 1, "x"), 3)
check("getrange", client.getrange("a", 0, 1), "1x")
check("strlen", client.strlen("a"), 3)
check("setbit", client.setbit("bits", 7, 1), 0)
check("bitcount", client.bitcount("bits"), 1)

# Times to live.
check("expire", client.expire("a", 100), True)
check("ttl", 0 < client.ttl("a") <= 100, True)
check("persist", client.persist("a"), True)
check("ttl of a lasting key", client.ttl("a"), -1)

# Bytes that are no text.
raw = connect(decode_responses=False)
everything = bytes(range(256)) + b"\r\n$-1\r\n"
check("set bytes", raw.set(everything, everything * 100), True)
check("get bytes", raw.get(everything) == everything * 100, True)
check("get bytes again", raw.get(everything) == everything * 100, True)
large = b"x" * 3_000_000
check("set a large value", raw.set("large", large), True)
check("get a large value", [raw.get("large") == large for _ in range(2)], [True, True])

# Hashes, lists, sets, sorted sets, the rest.
check("hset", client.hset("hash", mapping={"f": "1", "g": "2"}), 2)
check("hgetall", client.hgetall("hash"), {"f": "1", "g": "2"})
check("hmget", client.hmget("hash", "f", "x"), ["1", None])
check("rpush", client.rpush("list", *range(5)), 5)
check("lrange", client.lrange("list", 0, -1), ["0", "1", "2", "3", "4"])
check("lpop", client.lpop("list", 2), ["0", "1"])
check("lpop of nothing", client.lpop("missing", 2), None)
check("sadd", client.sadd("set", "x", "y"), 2)
check("smembers", client.smembers("set"), {"x", "y"})
check("sismember", bool(client.sismember("set", "x")), True)
check("zadd", client.zadd("zset", {"x": 1, "y": 2.5}), 2)
check("zscore", client.zscore("zset", "y"), 2.5)
check("zrange", client.zrange("zset", 0, -1), ["x", "y"])
check("zadd infinity", client.zadd("zset", {"z": float("inf")}), 1)
check("zscore of infinity", client.zscore("zset", "z"), float("inf"))
check("pfadd", client.pfadd("hll", "a", "b"), 1)
check("pfcount", client.pfcount("hll"), 2)
check("geoadd", client.geoadd("geo", (13.361389, 38.115556, "Palermo")), 1)
check("geohash", client.geohash("geo", "Palermo"), ["sqc8b49rny0"])
check("type", [client.type(key) for key in ("hash", "zset", "a")], ["hash", "zset", "string"])
check("object encoding", client.object("encoding", "counter"), "int")
check("sort", client.sort("list", desc=True, store="sorted"), 3)
check("lrange of what was sorted", client.lrange("sorted", 0, -1), ["4", "3", "2"])

# All keys.
many = {f"key:{number}": number for number in range(1000)}
check("mset many", client.mset(many), True)
check("scan_iter", set(client.scan_iter("key:*", count=100)) == set(many), True)
check("hscan_iter", dict(client.hscan_iter("hash")), {"f": "1", "g": "2"})
check("delete many", client.delete(*many), 1000)
check("get what was deleted", client.get("key:1"), None)
check("dbsize", client.dbsize(), 14)

# Errors.
check_raises("a wrong type", redis.ResponseError, "WRONGTYPE", lambda: client.get("list"))
check_raises(
    "an unknown command", redis.ResponseError, "unknown command", lambda: client.execute_command("NO")
)
check_raises("a wrong arity", redis.ResponseError, "wrong number", lambda: client.execute_command("GET"))
check_raises("no number", redis.ResponseError, "not an integer", lambda: client.incr("text:", "x"))
check("after the errors", client.get("counter"), "3")

# About the server.
check("config get", client.config_get("maxmemory-policy"), {"maxmemory-policy": "noeviction"})
check("info", client.info("server")["redis_mode"], "standalone")
check("command count", client.command_count() > 200, True)
check("flushdb", client.flushdb(), True)
check("get after a flush", client.get("counter"), None)
