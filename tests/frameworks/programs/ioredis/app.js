// An application that uses ioredis by itself: one connection for everything but messages.

const Redis = require("ioredis");

const PORT = Number(process.argv[2]);
const redis = new Redis(PORT);

async function look(times = 5) {
  for (let number = 0; number < times; number += 1) {
    const seen = [
      await redis.get("title"),
      await redis.hgetall("user:1"),
      await redis.hget("user:1", "name"),
      (await redis.smembers("tags")).sort(),
      await redis.lrange("recent", 0, -1),
      await redis.zrange("scores", 0, -1, "WITHSCORES"),
      await redis.exists("user:1"),
      await redis.mget("title", "none", "number"),
      await redis.ttl("title"),
    ];
    console.log(JSON.stringify(seen));
  }
}

async function main() {
  await redis.set("title", "first");
  await redis.set("number", 1);
  await redis.hset("user:1", { name: "ann", age: 30 });
  await redis.sadd("tags", "a", "b");
  await redis.rpush("recent", "one", "two");
  await redis.zadd("scores", 3, "ann", 1.5, "bob");
  await look();

  // Transactions and pipelines.
  console.log(await redis.multi().set("title", "second").incr("number").get("title").exec());
  await look();
  console.log(await redis.pipeline().get("title").hgetall("user:1").incr("number").exec());
  await look();
  await redis.multi({ pipeline: false });
  await redis.incr("number");
  console.log(await redis.exec());
  await look();

  // A script that limits a rate.
  redis.defineCommand("limit", {
    numberOfKeys: 1,
    lua: "local n = redis.call('INCR', KEYS[1]) redis.call('EXPIRE', KEYS[1], ARGV[1]) return n",
  });
  for (let number = 0; number < 5; number += 1) console.log(await redis.limit("limit:ann", 60));
  await look();

  // Optimistic locking.
  await redis.watch("number");
  const number = Number(await redis.get("number"));
  console.log(await redis.multi().set("number", number + 1).exec());
  await look();

  // Messages, on a connection of their own.
  const messages = redis.duplicate();
  await messages.subscribe("news");
  const heard = new Promise((message) => messages.on("message", (channel, text) => message(text)));
  await redis.publish("news", "something");
  console.log(await heard);
  await look();

  // A stream with a group.
  await redis.xgroup("CREATE", "stream", "group", "$", "MKSTREAM");
  await redis.xadd("stream", "1-1", "n", 1);
  console.log(JSON.stringify(await redis.xreadgroup("GROUP", "group", "me", "COUNT", 10, "STREAMS", "stream", ">")));
  console.log(await redis.xack("stream", "group", "1-1"));
  await look();
  console.log(JSON.stringify(await redis.xreadgroup("GROUP", "group", "me", "BLOCK", 10, "STREAMS", "stream", ">")));
  await look();
  for await (const keys of redis.scanStream({ match: "nothing:*" })) console.log(keys);
  await redis.del("title");
  await look();
  process.exit(0);
}

main();
