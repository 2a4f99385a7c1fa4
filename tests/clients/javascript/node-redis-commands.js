// node-redis: values, pipelines, transactions, scripts, errors, scans.

const { createClient, defineScript, WatchError } = require("redis");
const { PORT, PROTOCOL, check, checkFails, run } = require("./check");

const add = defineScript({
  SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
  NUMBER_OF_KEYS: 1,
  parseCommand(parser, key, by) {
    parser.pushKey(key);
    parser.push(String(by));
  },
  transformReply: (reply) => reply,
});

function connect(options) {
  const socket = { host: "127.0.0.1", port: PORT };
  return createClient({ socket, RESP: PROTOCOL, scripts: { add }, ...options }).connect();
}

run(async () => {
  const redis = await connect({ name: "worker" });
  const other = await connect();
  await redis.flushAll();

  check("set", await redis.set("a", "1"), "OK");
  check("get", [await redis.get("a"), await other.get("a"), await redis.get("missing")], ["1", "1", null]);
  check("mGet", await redis.mGet(["a", "missing", "a"]), ["1", null, "1"]);
  check("hSet", await redis.hSet("hash", { f: "1", g: "2" }), 2);
  check("hGetAll", await redis.hGetAll("hash"), { f: "1", g: "2" });
  check("zAdd", await redis.zAdd("zset", [{ score: 1.5, value: "x" }, { score: Infinity, value: "y" }]), 2);
  check("zScore", await redis.zScore("zset", "x"), 1.5);
  check("zRangeWithScores", (await redis.zRangeWithScores("zset", 0, 0))[0], { value: "x", score: 1.5 });
  check("sAdd", await redis.sAdd("set", ["x", "y"]), 2);
  check("sMembers", [...(await redis.sMembers("set"))].sort(), ["x", "y"]);
  check("configGet", await redis.configGet("maxmemory-policy"), { "maxmemory-policy": "noeviction" });
  check("clientGetName", await redis.clientGetName(), "worker");
  const info = await redis.clientInfo();
  check("clientInfo", [info.name, info.db, info.resp], ["worker", 0, PROTOCOL]);

  // Many commands at once share one write.
  const numbers = Array.from({ length: 1000 }, (_, number) => number);
  const pairs = numbers.flatMap((number) => [redis.set(`key:${number}`, `${number}`), redis.get(`key:${number}`)]);
  check("at once", await Promise.all(pairs), numbers.flatMap((number) => ["OK", String(number)]));
  const pipeline = redis.multi();
  numbers.forEach((number) => pipeline.get(`key:${number}`).incr(`key:${number}`));
  check("a pipeline", await pipeline.execAsPipeline(), numbers.flatMap((number) => [`${number}`, number + 1]));
  await checkFails("a wrong type", redis.lPush("a", "x"), "WRONGTYPE");
  await checkFails("a command that is none", redis.sendCommand(["NO"]), "unknown command");
  check("after errors", await redis.get("a"), "1");

  // Transactions.
  check("multi", await redis.multi().set("a", "2").get("a").incr("a").exec(), ["OK", "2", 3]);
  check("what it wrote", [await redis.get("a"), await other.get("a")], ["3", "3"]);
  await redis.watch("a");
  check("undisturbed", await redis.multi().set("a", "4").exec(), ["OK"]);
  await redis.watch("a");
  await other.set("a", "5");
  const disturbed = redis.multi().set("a", "6").exec();
  check("disturbed", await disturbed.catch((error) => error instanceof WatchError), true);
  check("the other's value stays", [await redis.get("a"), await other.get("a")], ["5", "5"]);

  // Scripts.
  await redis.scriptFlush();
  check("a script of one's own", [await redis.add("a", 10), await redis.add("a", 10)], [15, 25]);
  check("what it wrote", [await redis.get("a"), await other.get("a")], ["25", "25"]);
  check("in a transaction", await redis.multi().add("a", 1).get("a").exec(), [26, "26"]);
  check("eval", await redis.eval("return {1, 'two', {3}}", { keys: [], arguments: [] }), [1, "two", [3]]);
  await checkFails("no script", redis.evalSha("0".repeat(40), { keys: [], arguments: [] }), "NOSCRIPT");

  // Scans.
  const found = new Set();
  for await (const keys of redis.scanIterator({ MATCH: "key:*", COUNT: 100 })) {
    keys.forEach((key) => found.add(key));
  }
  check("scanIterator", found.size, 1000);
  check("unlink", await redis.unlink([...found]), 1000);
  check("get what is gone", await redis.get("key:1"), null);

  // Another database.
  const third = await connect({ database: 3 });
  check("set in another database", await third.set("a", "three"), "OK");
  check("each has its own", [await redis.get("a"), await third.get("a")], ["26", "three"]);
  await other.select(3);
  check("after select", [await other.get("a"), await redis.get("a")], ["three", "26"]);
  await other.close();

  // A pool of connections.
  const { createClientPool } = require("redis");
  // However busy the machine is, whoever waits for a connection gets one.
  const patient = { acquireTimeout: 0 };
  const pool = await createClientPool({ socket: { host: "127.0.0.1", port: PORT }, RESP: PROTOCOL }, patient).connect();
  const got = await Promise.all(numbers.map(() => pool.get("a")));
  check("a pool", got.every((value) => value === "26"), true);
});
