"""Lua scripts and functions: what they return, and what they write without having declared it."""

import redis

from check import check, check_raises, connect

client = connect()
client.flushall()
client.script_flush()
client.set("a", "1")
check("get", client.get("a"), "1")

add = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
check("a registered script", add(keys=["a"], args=[5]), 6)
check("what it wrote", client.get("a"), "6")
check("in a pipeline", client.pipeline(transaction=False).get("a").get("a").execute(), ["6", "6"])
with client.pipeline() as pipeline:
    add(keys=["a"], args=[1], client=pipeline)
    pipeline.get("a")
    check("in a transaction", pipeline.execute(), [7, "7"])
check("afterwards", client.get("a"), "7")
check("script exists", client.script_exists(add.sha, "0" * 40), [True, False])

hidden = client.register_script("redis.call('SET', 'hid' .. 'den', ARGV[1]) return redis.status_reply('FINE')")
client.set("hidden", "before")
check("get", client.get("hidden"), "before")
check("a script that writes what it doesn't name", hidden(args=["after"]), "FINE")
check("what it wrote", client.get("hidden"), "after")

check("types", client.eval("return {1, 'two', false, {3, {ok='four'}}, 5.9}", 0), [1, "two", None, [3, "four"], 5])
check_raises("an error", redis.ResponseError, "no luck", lambda: client.eval("return redis.error_reply('no luck')", 0))
check_raises("no such script", redis.exceptions.NoScriptError, "", lambda: client.evalsha("0" * 40, 0))
check_raises("no Lua", redis.ResponseError, "compiling", lambda: client.eval("return (", 0))
check("read only", client.eval_ro("return redis.call('GET', KEYS[1])", 1, "a"), "7")
check_raises(
    "a write in it", redis.ResponseError, "", lambda: client.eval_ro("return redis.call('DEL', KEYS[1])", 1, "a")
)

library = """#!lua name=library
redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)
"""
check("function load", client.function_load(library, replace=True), "library")
check("fcall", client.fcall("put", 1, "a", "by a function"), "OK")
check("what it wrote", client.get("a"), "by a function")
check("function delete", client.function_delete("library"), True)
