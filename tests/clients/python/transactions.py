"""Pipelines, with and without MULTI, and transactions that watch keys."""

import redis

from check import check, check_raises, connect

client = connect()
client.flushall()
client.set("a", "1")

for transaction in (False, True):
    with client.pipeline(transaction=transaction) as pipeline:
        pipeline.get("a").set("a", "2").get("a").incr("a").get("missing").get("a").mget("a", "b")
        replies = pipeline.execute()
        check(f"a pipeline, transaction={transaction}", replies, ["1", True, "2", 3, None, "3", ["3", None]])
        for number in range(1000):
            pipeline.set(f"key:{number}", number).get(f"key:{number}").get("a")
        replies = pipeline.execute()
        expected = [reply for number in range(1000) for reply in (True, str(number), "3")]
        check(f"a long pipeline, transaction={transaction}", replies == expected, True)
        pipeline.get("a").lpush("a", "x").get("a")
        replies = pipeline.execute(raise_on_error=False)
        check(f"an error among replies, transaction={transaction}", [replies[0], replies[2]], ["3", "3"])
        check("the error", type(replies[1]).__name__ + ": " + str(replies[1])[:9], "ResponseError: WRONGTYPE")
        pipeline.execute_command("NO").get("a")
        check_raises("a command that is none", redis.ResponseError, "unknown command", pipeline.execute)
    client.set("a", "1")
    check("a later read", client.get("a"), "1")

# A transaction that nobody disturbs, and one that somebody does.
other = connect()
with client.pipeline() as pipeline:
    pipeline.watch("a")
    value = int(pipeline.get("a"))
    pipeline.multi()
    pipeline.set("a", value + 1)
    check("undisturbed", pipeline.execute(), [True])
check("what another reads", other.get("a"), "2")
with client.pipeline() as pipeline:
    pipeline.watch("a")
    check("while watched", pipeline.get("a"), "2")
    check("another writes", other.set("a", "10"), True)
    pipeline.multi()
    pipeline.set("a", "3")
    check_raises("disturbed", redis.WatchError, "", pipeline.execute)
check("the other's value stays", [client.get("a"), other.get("a")], ["10", "10"])

# The same, tried again until it succeeds.
attempts = []


def increment(pipeline):
    value = int(pipeline.get("a"))
    if not attempts:
        other.incr("a")
    attempts.append(value)
    pipeline.multi()
    pipeline.set("a", value + 1)


check("transaction()", client.transaction(increment, "a"), [True])
check("its attempts", attempts, [10, 11])
check("its result", [client.get("a"), other.get("a")], ["12", "12"])

with client.pipeline() as pipeline:
    pipeline.watch("a")
    check("unwatch", pipeline.unwatch(), True)
    pipeline.watch("a")
    pipeline.multi()
    pipeline.set("a", "13")
    pipeline.reset()
check("after a reset", client.get("a"), "12")
