"""What a client keeps of its connections: pools, names, health checks, retries, a cache of its own."""

import threading

import redis
from redis.backoff import NoBackoff
from redis.cache import CacheConfig
from redis.retry import Retry

from check import OPTIONS, check, check_raises, connect

ONCE = {"retry": Retry(NoBackoff(), 0)}

client = connect()
client.flushall()
client.set("a", "1")

# A pool that many threads share.
pool = redis.BlockingConnectionPool(max_connections=5, timeout=10, **OPTIONS)
shared = redis.Redis(connection_pool=pool)
wrong = []


def work(thread):
    for number in range(100):
        key = f"key:{thread}:{number % 10}"
        shared.set(key, number)
        if shared.get(key) != str(number) or shared.get("a") != "1":
            wrong.append(key)


threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
check("threads that share a pool", wrong, [])
pool.disconnect()

# A name, and what the library tells of itself, before and behind what needs a dedicated connection.
named = connect(client_name="worker", single_connection_client=True)
check("the name", named.client_getname(), "worker")
before = named.client_info()
check("CLIENT INFO", [before["name"], before["db"]], ["worker", 0])
check("watch", named.execute_command("WATCH", "a"), True)
check("the name again", named.client_getname(), "worker")
check("unwatch", named.execute_command("UNWATCH"), True)
named.close()

# Another database.
other = connect(db=3)
check("set in another database", other.set("a", "three"), True)
check("each has its own", [client.get("a"), other.get("a"), client.get("a")], ["1", "three", "1"])
check("select", other.client_info()["db"], 3)
check("move", client.set("moved", "x") and client.move("moved", 3), True)
check("what was moved", [client.get("moved"), other.get("moved")], [None, "x"])
check("swapdb", client.swapdb(0, 3), True)
check("swapped", [client.get("a"), other.get("a")], ["three", "1"])
check("swapdb", client.swapdb(0, 3), True)

# A connection that was idle for longer than the interval is asked whether it still answers.
healthy = connect(health_check_interval=1, single_connection_client=True)
check("get", healthy.get("a"), "1")
healthy.connection.next_health_check = 1
check("get after a health check", healthy.get("a"), "1")
subscriber = healthy.pubsub()
subscriber.subscribe("channel")
check("subscribed", subscriber.get_message(timeout=30)["type"], "subscribe")
subscriber.connection.next_health_check = 1
subscriber.check_health()
check("publish", healthy.publish("channel", "x"), 1)
found = None
while found is None:  # The answer to the health check is no message.
    found = subscriber.get_message(timeout=30)
check("a message after a health check", found["data"], "x")
subscriber.close()

# A connection that was closed is made again; one that is told to close does.
retrying = connect(retry=Retry(NoBackoff(), 3), single_connection_client=True)
check("get", retrying.get("a"), "1")
retrying.connection._sock.shutdown(2)
check("get after the connection broke", retrying.get("a"), "1")
quitting = connect(single_connection_client=True)
check("quit", quitting.execute_command("QUIT"), True)
resetting = connect(single_connection_client=True)
check("reset", resetting.execute_command("RESET"), "RESET")

# Who may do what.
check_raises("no password is needed", redis.exceptions.AuthenticationError, "without any password",
             lambda: connect(**ONCE).execute_command("AUTH", "x"))
check("a user", client.acl_setuser("reader", enabled=True, passwords=["+secret"], keys=["open:*"],
                                   commands=["+@read", "+hello", "+client"]), True)
client.mset({"open:a": "seen", "closed:a": "hidden"})
check("cached", [client.get("open:a"), client.get("closed:a")], ["seen", "hidden"])
reader = connect(username="reader", password="secret")
check("what the user may read", reader.get("open:a"), "seen")
check_raises("what it may not", redis.exceptions.NoPermissionError, "", lambda: reader.get("closed:a"))
check_raises("a write", redis.exceptions.NoPermissionError, "", lambda: reader.set("open:a", "x"))
check("acl whoami of the first", client.acl_whoami(), "default")
check_raises("a wrong password", redis.exceptions.AuthenticationError, "",
             lambda: connect(username="reader", password="wrong", **ONCE).get("open:a"))
check("acl deluser", client.acl_deluser("reader"), 1)

# The client's own cache, which the server tells what to forget (from Redis 7.4 on, says the library).
caching = None
try:
    caching = connect(cache_config=CacheConfig())
    caching.get("a")
except redis.RedisError as error:
    print(f"no cache in the client: {error}")
    caching = None
if caching:
    check("cached by the client", [caching.get("a") for _ in range(2)], ["1", "1"])
    client.set("a", "2")
    while caching.get("a") == "1":
        pass
    check("invalidated", caching.get("a"), "2")
