// ioredis: values, pipelines, transactions, scripts, errors, scans.

const Redis = require("ioredis");
const { PORT, check, checkFails, run } = require("./check");

run(async () => {
  const redis = new Redis(PORT, "127.0.0.1", { connectionName: "worker" });
  const other = new Redis(PORT, "127.0.0.1");
  await redis.flushall();

  check("set", await redis.set("a", "1"), "OK");
  check("get", [await redis.get("a"), await other.get("a"), await redis.get("missing")], ["1", "1", null]);
  check("set with a time to live", await redis.set("short", "x", "PX", 100_000), "OK");
  check("pttl", (await redis.pttl("short")) > 0, true);
  check("mget", await redis.mget("a", "missing", "short"), ["1", null, "x"]);
  const bytes = Buffer.from([0, 255, 13, 10, 36, 45, 49]);
  check("set bytes", await redis.set(bytes, bytes), "OK");
  check("get bytes", [...(await redis.getBuffer(bytes))], [...bytes]);
  check("hset", await redis.hset("hash", { f: "1", g: "2" }), 2);
  check("hgetall", await redis.hgetall("hash"), { f: "1", g: "2" });
  check("zadd", await redis.zadd("zset", 1.5, "x", "+inf", "y"), 2);
  check("zrange", await redis.zrange("zset", 0, -1, "WITHSCORES"), ["x", "1.5", "y", "inf"]);
  check("client getname", await redis.client("GETNAME"), "worker");

  // Many commands at once share one write.
  const numbers = Array.from({ length: 1000 }, (_, number) => number);
  const pairs = numbers.flatMap((number) => [redis.set(`key:${number}`, number), redis.get(`key:${number}`)]);
  check("at once", await Promise.all(pairs), numbers.flatMap((number) => ["OK", String(number)]));
  const pipeline = redis.pipeline();
  numbers.forEach((number) => pipeline.get(`key:${number}`).incr(`key:${number}`).get(`key:${number}`));
  const expected = numbers.flatMap((n) => [[null, `${n}`], [null, n + 1], [null, `${n + 1}`]]);
  check("a pipeline", await pipeline.exec(), expected);
  const replies = await redis.pipeline().get("a").lpush("a", "x").call("NO").get("a").exec();
  check("errors among replies", replies.map(([error, value]) => error?.message.slice(0, 9) ?? value),
    ["1", "WRONGTYPE", "ERR unkno", "1"]);

  // Transactions.
  check("multi", await redis.multi().set("a", "2").get("a").incr("a").exec(), [[null, "OK"], [null, "2"], [null, 3]]);
  check("what it wrote", [await redis.get("a"), await other.get("a")], ["3", "3"]);
  const options = { pipeline: false };
  check("multi step by step", [await redis.multi(options), await redis.set("a", "4"), await redis.get("a")],
    ["OK", "QUEUED", "QUEUED"]);
  check("exec", await redis.exec(), [[null, "OK"], [null, "4"]]);
  check("what it wrote", await other.get("a"), "4");
  await redis.watch("a");
  await other.set("a", "5");
  check("a transaction that was disturbed", await redis.multi().set("a", "6").exec(), null);
  check("the other's value stays", [await redis.get("a"), await other.get("a")], ["5", "5"]);
  await checkFails("a command that is none", redis.multi().call("NO").set("a", "6").exec(), "EXECABORT");
  check("discard", [await redis.multi(options), await redis.set("a", "7"), await redis.discard()],
    ["OK", "QUEUED", "OK"]);
  check("nothing was written", await redis.get("a"), "5");

  // Scripts.
  redis.defineCommand("add", { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
  await redis.script("FLUSH");
  check("a script of one's own", [await redis.add("a", 10), await redis.add("a", 10)], [15, 25]);
  check("what it wrote", [await redis.get("a"), await other.get("a")], ["25", "25"]);
  check("in a pipeline", await redis.pipeline().add("a", 1).get("a").exec(), [[null, 26], [null, "26"]]);
  await checkFails("no script", redis.evalsha("0".repeat(40), 0), "NOSCRIPT");

  // Scans.
  const found = new Set();
  for await (const keys of redis.scanStream({ match: "key:*", count: 100 })) {
    keys.forEach((key) => found.add(key));
  }
  check("scanStream", found.size, 1000);
  const fields = [];
  for await (const part of redis.hscanStream("hash")) fields.push(...part);
  check("hscanStream", fields, ["f", "1", "g", "2"]);
  check("unlink", await redis.unlink(...found), 1000);
  check("get what is gone", await redis.get("key:1"), null);

  // Another database.
  const third = new Redis(PORT, "127.0.0.1", { db: 3 });
  check("set in another database", await third.set("a", "three"), "OK");
  check("each has its own", [await redis.get("a"), await third.get("a")], ["26", "three"]);
  check("select", await other.select(3), "OK");
  check("after select", [await other.get("a"), await redis.get("a")], ["three", "26"]);
  check("quit", await other.quit(), "OK");
});
