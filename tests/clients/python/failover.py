"""Writes and reads while the master is killed: says when writes go on, and whether a read after that was stale.

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
# How often a write has failed, and the number written last since then.
failures, written = 0, 0
over = False
wrong = []


def read():
    """Reads, from the cache if it is there, what the other one has written since the failover."""
    while not over:
        before, least = failures, written
        try:
            value = int(reader.get("count") or 0)
        except redis.RedisError:
            continue
        if failures == before > 0 and value < least:
            wrong.append(f"{value} was read after {least} was written")


number = 0
thread = threading.Thread(target=read)
thread.start()
deadline = time.monotonic() + 60
goal = None
while goal is None or number < goal:
    number += 1
    try:
        writer.set("count", number)
        value = int(writer.get("count") or 0)
    except redis.RedisError as error:
        if time.monotonic() > deadline:
            sys.exit(f"writes fail still: {error}")
        failures, written, goal = failures + 1, 0, None
        time.sleep(0.002)
        continue
    if failures and goal is None:
        goal = number + 500
        print("writing again", flush=True)
    if failures and value != number:
        wrong.append(f"{value} was read after {number} was written")
    if failures:
        written = number
    if number == 200:
        print("writing", flush=True)
over = True
thread.join()
print(wrong[0] if wrong else "no stale read", flush=True)
sys.exit(bool(wrong))
