// An application that uses node-redis by itself: one connection for everything but messages and what blocks.

const { createClient } = require("redis");

const PORT = Number(process.argv[2]);

async function main() {
  const redis = createClient({ url: `redis://127.0.0.1:${PORT}` });
  await redis.connect();

  async function look(times = 5) {
    for (let number = 0; number < times; number += 1) {
      // Those of one turn go out together.
      const seen = await Promise.all([
        redis.get("title"),
        redis.hGetAll("user:1"),
        redis.hGet("user:1", "name"),
        redis.sMembers("tags").then((members) => [...members].sort()),
        redis.lRange("recent", 0, -1),
        redis.zRangeWithScores("scores", 0, -1),
        redis.exists("user:1"),
        redis.mGet(["title", "none", "number"]),
      ]);
      console.log(JSON.stringify(seen));
    }
  }

  await redis.set("title", "first");
  await redis.set("number", "1");
  await redis.hSet("user:1", { name: "ann", age: "30" });
  await redis.sAdd("tags", ["a", "b"]);
  await redis.rPush("recent", ["one", "two"]);
  await redis.zAdd("scores", [{ score: 3, value: "ann" }, { score: 1.5, value: "bob" }]);
  await look();

  console.log(JSON.stringify(await redis.multi().set("title", "second").incr("number").get("title").exec()));
  await look();
  await redis.watch("number");
  const number = Number(await redis.get("number"));
  console.log(JSON.stringify(await redis.multi().set("number", String(number + 1)).exec()));
  await look();

  const script = "local n = redis.call('INCR', KEYS[1]) redis.call('EXPIRE', KEYS[1], ARGV[1]) return n";
  for (let number = 0; number < 5; number += 1) {
    console.log(await redis.eval(script, { keys: ["limit:ann"], arguments: ["60"] }));
  }
  await look();

  const messages = redis.duplicate();
  await messages.connect();
  let hear;
  const heard = new Promise((message) => { hear = message; });
  await messages.subscribe("news", hear);
  await redis.publish("news", "something");
  console.log(await heard);
  await look();

  const blocked = redis.duplicate();
  await blocked.connect();
  const job = blocked.blPop("queue", 10);
  await redis.rPush("queue", "job");
  console.log(JSON.stringify(await job));
  await look();

  await redis.expire("title", 1000);
  await look();
  await redis.del("title");
  await look();
  process.exit(0);
}

main();
