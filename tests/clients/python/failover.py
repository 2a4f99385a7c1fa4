"""Writes and reads while the master is killed. A line on standard input says that there is another one; says when writes go
on after that, and whether a read was stale from then on.

What Redis acknowledged just before its end may be lost with it.
"""

import sys
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from check import connect

writer, reader = (connect(retry=Retry(NoBackoff(), 0)) for _ in range(2))
replaced = threading.Event()
# The number written last to the new master.
written = 0
wrong = []


def read():
    """Reads, from the cache if it is there, what the other one has written since the failover."""
    while True:
        least = written
        try:
            value = int(reader.get("count") or 0)
        except redis.RedisError:
            continue
        if value < least:
            wrong.append(f"{value} was read after {least} was written")


def wait():
    sys.stdin.readline()
    replaced.set()


for task in (read, wait):
    threading.Thread(target=task, daemon=True).start()
number = 0
deadline = time.monotonic() + 60
goal = None
while goal is None or number < goal:
    if time.monotonic() > deadline:
        sys.exit("it takes too long")
    number += 1
    is_new = replaced.is_set()
    try:
        writer.set("count", number)
        value = int(writer.get("count") or 0)
    except redis.RedisError:
        time.sleep(0.002)
        continue
    if is_new and goal is None:
        goal = number + 500
        print("writing again", flush=True)
    if is_new:
        if value != number:
            wrong.append(f"{value} was read after {number} was written")
        written = number
    if number == 200:
        print("writing", flush=True)
print(wrong[0] if wrong else "no stale read", flush=True)
sys.exit(bool(wrong))
