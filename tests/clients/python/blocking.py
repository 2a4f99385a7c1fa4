"""Pops that wait: for what is there, for what comes, for nothing; and that many of them wait at once."""

import threading

from check import check, connect

client = connect()
client.flushall()


def waiting(call):
    """Runs a call in a thread; returns what collects its result."""
    result = []
    thread = threading.Thread(target=lambda: result.append(call()))
    thread.start()

    def collect():
        thread.join(10)
        return result[0] if result else "still waits"

    return collect


def until_blocked(count):
    """Returns when so many clients wait."""
    while client.info("clients")["blocked_clients"] != count:
        pass


client.rpush("list", "a", "b")
check("blpop of what is there", list(client.blpop(["none", "list"], timeout=5)), ["list", "a"])
check("brpop", list(client.brpop("list", timeout=5)), ["list", "b"])
check("blpop of nothing", client.blpop("none", timeout=0.05), None)
check("bzpopmin of nothing", client.bzpopmin("none", timeout=0.05), None)

collect = waiting(lambda: client.blpop(["x", "y"], timeout=0))
until_blocked(1)
check("others go on", client.set("a", "1") and client.get("a"), "1")
check("rpush", client.rpush("y", "pushed"), 1)
check("blpop that waited", list(collect()), ["y", "pushed"])

collect = waiting(lambda: client.blmove("from", "to", 5, "LEFT", "RIGHT"))
until_blocked(1)
client.rpush("from", "moved")
check("blmove that waited", collect(), "moved")
check("where it went", client.lrange("to", 0, -1), ["moved"])

collect = waiting(lambda: client.bzpopmax("scores", timeout=5))
until_blocked(1)
client.zadd("scores", {"m": 2.5})
check("bzpopmax that waited", list(collect()), ["scores", "m", 2.5])

collect = waiting(lambda: client.blmpop(5, 2, "p", "q", direction="LEFT", count=2))
until_blocked(1)
client.rpush("q", "1", "2", "3")
popped = collect()
check("blmpop that waited", [popped[0], popped[1]][0], "q")

all_waiting = [waiting(lambda: client.blpop("queue", timeout=10)) for _ in range(50)]
until_blocked(50)
check("others still go on", client.get("a"), "1")
client.rpush("queue", *range(50))
got = sorted(int(collect()[1]) for collect in all_waiting)
check("each got one", got == list(range(50)), True)
check("wait", client.wait(0, 10), 0)
