"""Channels and patterns: messages as they come, by handlers, and in a thread."""

import queue

from check import PROTOCOL, check, connect

client = connect()
client.set("a", "1")


def message(subscriber):
    """The next message, without what never differs."""
    found = subscriber.get_message(timeout=30)
    return found and (found["type"], found["pattern"], found["channel"], found["data"])


subscriber = client.pubsub()
subscriber.subscribe("news", "weather")
check("subscribed", [message(subscriber) for _ in range(2)],
      [("subscribe", None, "news", 1), ("subscribe", None, "weather", 2)])
subscriber.psubscribe("n*")
check("psubscribed", message(subscriber), ("psubscribe", None, "n*", 3))
check("publish", [client.publish("news", "one"), client.publish("weather", "two")], [2, 1])
got = [message(subscriber) for _ in range(3)]
check("messages", sorted(got, key=str), [
    ("message", None, "news", "one"), ("message", None, "weather", "two"), ("pmessage", "n*", "news", "one"),
])
check("numsub", client.pubsub_numsub("news", "weather", "none"), [("news", 1), ("weather", 1), ("none", 0)])
check("channels", sorted(client.pubsub_channels()), ["news", "weather"])
if PROTOCOL == 2:
    subscriber.ping("still there")
    check("ping", message(subscriber), ("pong", None, None, "still there"))
subscriber.unsubscribe()
subscriber.punsubscribe()
check("unsubscribed", sorted(message(subscriber)[:3] for _ in range(3)), [
    ("punsubscribe", None, "n*"), ("unsubscribe", None, "news"), ("unsubscribe", None, "weather"),
])
check("nobody listens", client.publish("news", "x"), 0)
subscriber.subscribe("again")
check("subscribed again", message(subscriber), ("subscribe", None, "again", 1))
subscriber.close()

# Shard channels.
subscriber = client.pubsub()
subscriber.ssubscribe("shard")
check("ssubscribed", subscriber.get_sharded_message(timeout=30)["type"], "ssubscribe")
check("spublish", client.spublish("shard", "x"), 1)
check("a shard's message", subscriber.get_sharded_message(timeout=30)["data"], "x")
subscriber.close()

# In a thread, many messages, while others read.
received = queue.Queue()
subscriber = client.pubsub(ignore_subscribe_messages=True)
subscriber.subscribe(**{"many": lambda found: received.put(found["data"])})
thread = subscriber.run_in_thread(sleep_time=0.1)
while client.pubsub_numsub("many") != [("many", 1)]:
    pass
with client.pipeline(transaction=False) as pipeline:
    for number in range(5000):
        pipeline.publish("many", number)
        pipeline.get("a")
    replies = pipeline.execute()
check("published", set(replies[::2]), {1})
check("read meanwhile", set(replies[1::2]), {"1"})
got = [received.get(timeout=30) for _ in range(5000)]
check("received in order", got == [str(number) for number in range(5000)], True)
thread.stop()
thread.join()

# RESP3 lets a connection go on with commands.
if PROTOCOL == 3:
    subscriber = client.pubsub()
    subscriber.subscribe("mixed")
    check("subscribed", message(subscriber), ("subscribe", None, "mixed", 1))
    connection = subscriber.connection
    connection.send_command("GET", "a")
    check("a command among pushes", connection.read_response(), "1")
    subscriber.close()

# Events of the keyspace.
client.config_set("notify-keyspace-events", "KEA")
subscriber = client.pubsub(ignore_subscribe_messages=True)
subscriber.psubscribe("__keyspace@*__:watched")
subscriber.get_message(timeout=30)
client.set("watched", "1")
check("an event", message(subscriber), ("pmessage", "__keyspace@*__:watched", "__keyspace@0__:watched", "set"))
client.config_set("notify-keyspace-events", "")
subscriber.close()
