// node-redis: pub/sub, streams, pops that wait, MONITOR.

const { createClient } = require("redis");
const { PORT, PROTOCOL, check, run, until } = require("./check");

function connect() {
  const socket = { host: "127.0.0.1", port: PORT };
  // "Unstable": the form in which the library hands over the replies to XREAD may change.
  return createClient({ socket, RESP: PROTOCOL, unstableResp3: true }).connect();
}

// The reply to XREAD in one form for both versions of the protocol.
function entries(reply) {
  if (reply === null) return null;
  if (PROTOCOL === 2) {
    return reply.map(({ name, messages }) => [name, messages.map(({ id, message }) => [id, { ...message }])]);
  }
  return Object.entries(reply).map(([name, messages]) => [
    name,
    messages.map(([id, [field, value]]) => [id, { [field]: value }]),
  ]);
}

run(async () => {
  const redis = await connect();
  await redis.flushAll();
  await redis.set("a", "1");

  // Channels and patterns.
  const subscriber = await connect();
  const messages = [];
  await subscriber.subscribe(["news", "weather"], (message, channel) => messages.push([channel, message]));
  await subscriber.pSubscribe("w*", (message, channel) => messages.push(["w*", channel, message]));
  check("publish", [await redis.publish("news", "one"), await redis.publish("weather", "two")], [1, 2]);
  await until(async () => messages.length === 3 || (await subscriber.ping()) === null);
  check("messages", messages, [["news", "one"], ["weather", "two"], ["w*", "weather", "two"]]);
  messages.length = 0;
  const work = [];
  for (let number = 0; number < 5000; number += 1) work.push(redis.publish("news", `${number}`), redis.get("a"));
  const replies = await Promise.all(work);
  check("published, and read meanwhile", replies.every((value, at) => value === (at % 2 ? "1" : 1)), true);
  await until(async () => messages.length === 5000 || (await subscriber.ping()) === null);
  check("in order", messages.every(([, message], number) => message === String(number)), true);
  if (PROTOCOL === 3) check("a command among pushes", await subscriber.get("a"), "1");
  await subscriber.unsubscribe(["news", "weather"]);
  await subscriber.pUnsubscribe("w*");
  check("commands again", String(await subscriber.get("a")), "1");
  await subscriber.sSubscribe("shard", (message) => messages.push(message));
  check("sPublish", await redis.sPublish("shard", "x"), 1);
  await until(async () => messages.at(-1) === "x" || (await subscriber.ping()) === null);
  check("a shard's message", messages.at(-1), "x");

  // Pops that wait.
  const waiting = await connect();
  await redis.rPush("list", "there");
  check("blPop of what is there", await waiting.blPop("list", 5), { key: "list", element: "there" });
  check("blPop of nothing", await waiting.blPop("list", 0.05), null);
  const popped = waiting.blPop("list", 10);
  await until(async () => (await redis.info("clients")).includes("blocked_clients:1"));
  check("others go on", await redis.get("a"), "1");
  await redis.rPush("list", "late");
  check("blPop that waited", await popped, { key: "list", element: "late" });
  check("a command behind it", await waiting.get("a"), "1");

  // Streams.
  check("xAdd", await redis.xAdd("stream", "1-1", { n: "1" }), "1-1");
  const stream = (id) => ({ key: "stream", id });
  check("xRead", entries(await redis.xRead(stream("0"))), [["stream", [["1-1", { n: "1" }]]]]);
  check("xRead of nothing", entries(await waiting.xRead(stream("$"), { BLOCK: 50 })), null);
  const read = waiting.xRead(stream("1-1"), { BLOCK: 10_000 });
  await until(async () => (await redis.info("clients")).includes("blocked_clients:1"));
  await redis.xAdd("stream", "1-2", { n: "2" });
  check("xRead that waited", entries(await read), [["stream", [["1-2", { n: "2" }]]]]);
  check("xGroupCreate", await redis.xGroupCreate("stream", "group", "0"), "OK");
  const first = await redis.xReadGroup("group", "me", stream(">"), { COUNT: 1 });
  check("xReadGroup", entries(first), [["stream", [["1-1", { n: "1" }]]]]);
  check("xAck", await redis.xAck("stream", "group", "1-1"), 1);
  check("xLen", await redis.xLen("stream"), 2);

  // What everybody does.
  const monitor = await connect();
  const seen = [];
  await monitor.monitor((line) => seen.push(String(line)));
  await redis.set("monitored", "x");
  await until(async () => seen.some((line) => line.includes('"monitored"')) || (await redis.ping()) === null);
  check("monitor", seen.some((line) => line.includes('"monitored"')), true);
});
