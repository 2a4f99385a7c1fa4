"""The same library with asyncio: many tasks, one loop."""

import asyncio

import redis.asyncio

from check import OPTIONS, check


async def main():
    client = redis.asyncio.Redis(**OPTIONS)
    await client.flushall()
    await client.set("a", "1")
    values = await asyncio.gather(*(client.get("a") for _ in range(100)))
    check("many reads at once", set(values), {"1"})

    async with client.pipeline(transaction=True) as pipeline:
        check("a transaction", await pipeline.incr("a").get("a").execute(), [2, "2"])
    check("its result", await client.get("a"), "2")

    async def consume():
        async with client.pubsub(ignore_subscribe_messages=True) as subscriber:
            await subscriber.subscribe("channel")
            subscribed.set()
            return [found["data"] async for found in take(subscriber.listen(), 100)]

    async def take(source, count):
        async for item in source:
            yield item
            count -= 1
            if count == 0:
                return

    subscribed = asyncio.Event()
    consumer = asyncio.create_task(consume())
    await subscribed.wait()
    while (await client.pubsub_numsub("channel"))[0][1] == 0:
        pass
    for number in range(100):
        await client.publish("channel", number)
    check("messages", await consumer == [str(number) for number in range(100)], True)

    popped = asyncio.create_task(client.blpop("list", timeout=10))
    while (await client.info("clients"))["blocked_clients"] == 0:
        pass
    await client.rpush("list", "x")
    check("blpop that waited", list(await popped), ["list", "x"])
    found = sorted([key async for key in client.scan_iter("*")])
    check("scan_iter", found, ["a"])
    await client.aclose()


asyncio.run(main())
