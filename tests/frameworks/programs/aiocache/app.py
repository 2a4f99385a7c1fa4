"""A service with its results in aiocache."""

import asyncio
import sys

from aiocache import Cache, cached, multi_cached
from aiocache.serializers import JsonSerializer

PORT = int(sys.argv[1])
ENDPOINT = {"endpoint": "127.0.0.1", "port": PORT}
computed = []


@cached(ttl=300, cache=Cache.REDIS, namespace="profile", **ENDPOINT)
async def profile(user):
    computed.append(f"profile {user}")
    return {"user": user, "text": "x" * 100}


@multi_cached("numbers", cache=Cache.REDIS, namespace="square", **ENDPOINT)
async def squares(numbers):
    computed.append(f"squares {sorted(numbers)}")
    return {number: number * number for number in numbers}


async def main():
    cache = Cache(Cache.REDIS, serializer=JsonSerializer(), namespace="main", **ENDPOINT)
    await cache.set("settings", {"theme": "dark"})
    await cache.multi_set([[f"item:{number}", number] for number in range(10)])
    await cache.add("once", 1)
    for number in range(50):
        print(await cache.get("settings"), await cache.get("nothing", default="-"), end=" ")
        print(await cache.multi_get([f"item:{number}" for number in range(10)]), end=" ")
        print(await cache.exists("settings"), await profile(number % 4), await squares([1, 2, 3]))
        if number % 10 == 9:
            print(await cache.increment("visits"), await cache.get("visits"))
            await cache.set("settings", {"theme": f"{number}"}, ttl=60)
    await asyncio.gather(*(profile(number % 4) for number in range(20)))
    await cache.expire("settings", 100)
    print(await cache.get("settings"))
    await cache.delete("settings")
    print(await cache.get("settings"), await cache.exists("settings"))
    print("computed:", computed)
    await cache.close()


asyncio.run(main())
