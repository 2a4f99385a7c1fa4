// ioredis: pub/sub, streams, pops that wait, MONITOR.

const Redis = require("ioredis");
const { PORT, check, run, until } = require("./check");

run(async () => {
  const redis = new Redis(PORT, "127.0.0.1");
  await redis.flushall();
  await redis.set("a", "1");

  // Channels and patterns.
  const subscriber = new Redis(PORT, "127.0.0.1");
  const messages = [];
  subscriber.on("message", (channel, message) => messages.push([channel, message]));
  subscriber.on("pmessage", (pattern, channel, message) => messages.push([pattern, channel, message]));
  check("subscribe", await subscriber.subscribe("news", "weather"), 2);
  check("psubscribe", await subscriber.psubscribe("w*"), 3);
  check("publish", [await redis.publish("news", "one"), await redis.publish("weather", "two")], [1, 2]);
  await until(async () => messages.length === 3 || (await subscriber.ping()) === null);
  check("messages", messages, [["news", "one"], ["weather", "two"], ["w*", "weather", "two"]]);
  messages.length = 0;
  const pipeline = redis.pipeline();
  for (let number = 0; number < 5000; number += 1) pipeline.publish("news", number).get("a");
  const replies = await pipeline.exec();
  check("published, and read meanwhile", replies.every(([, value], at) => value === (at % 2 ? "1" : 1)), true);
  await until(async () => messages.length === 5000 || (await subscriber.ping()) === null);
  check("in order", messages.every(([, message], number) => message === String(number)), true);
  check("unsubscribe", [await subscriber.unsubscribe("news", "weather"), await subscriber.punsubscribe("w*")], [1, 0]);
  check("commands again", await subscriber.get("a"), "1");

  // Pops that wait.
  const waiting = new Redis(PORT, "127.0.0.1");
  await redis.rpush("list", "there");
  check("blpop of what is there", await waiting.blpop("list", 5), ["list", "there"]);
  check("blpop of nothing", await waiting.blpop("list", 0.05), null);
  const popped = waiting.blpop("list", 10);
  await until(async () => (await redis.info("clients")).includes("blocked_clients:1"));
  check("others go on", await redis.get("a"), "1");
  await redis.rpush("list", "late");
  check("blpop that waited", await popped, ["list", "late"]);
  check("a command behind it", await waiting.get("a"), "1");

  // Streams.
  check("xadd", await redis.xadd("stream", "1-1", "n", "1"), "1-1");
  check("xread", await redis.xread("STREAMS", "stream", "0"), [["stream", [["1-1", ["n", "1"]]]]]);
  check("xread of nothing", await redis.xread("BLOCK", 50, "STREAMS", "stream", "$"), null);
  const read = waiting.xread("BLOCK", 10_000, "STREAMS", "stream", "1-1");
  await until(async () => (await redis.info("clients")).includes("blocked_clients:1"));
  await redis.xadd("stream", "1-2", "n", "2");
  check("xread that waited", await read, [["stream", [["1-2", ["n", "2"]]]]]);
  check("xgroup", await redis.xgroup("CREATE", "stream", "group", "0"), "OK");
  const group = ["GROUP", "group", "me", "COUNT", 1, "STREAMS", "stream", ">"];
  check("xreadgroup", await redis.xreadgroup(...group), [["stream", [["1-1", ["n", "1"]]]]]);
  check("xack", await redis.xack("stream", "group", "1-1"), 1);
  check("xrange", await redis.xrange("stream", "-", "+"), [["1-1", ["n", "1"]], ["1-2", ["n", "2"]]]);

  // What everybody does.
  // ioredis takes no line that comes in one piece with the reply to MONITOR: nobody else is to be connecting then.
  const other = redis.duplicate();
  await other.ping();
  const monitor = await other.monitor();
  const seen = [];
  monitor.on("monitor", (_time, command) => seen.push(command.join(" ")));
  await redis.set("monitored", "x");
  await until(async () => seen.includes("set monitored x") || (await redis.ping()) === null);
  check("monitor", seen.includes("set monitored x"), true);
});
