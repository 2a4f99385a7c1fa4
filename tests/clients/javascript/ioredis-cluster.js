// What ioredis does over keys of all nodes: as a plain client, and as one of a cluster.
"use strict";

const Redis = require("ioredis");
const { PORT, check, checkFails, run } = require("./check.js");

const KEYS = Array.from({ length: 300 }, (_, number) => `key:${number}`);
const VALUES = KEYS.map((key) => `value of ${key}`);
const isCluster = process.argv[3] === "cluster";

async function common(client) {
  check("ping", await client.ping(), "PONG");
  check("flushall", await client.flushall(), "OK");
  await Promise.all(KEYS.map((key, index) => client.set(key, VALUES[index])));
  for (let round = 0; round < 2; round++) {
    check("get", (await Promise.all(KEYS.map((key) => client.get(key)))).join() === VALUES.join(), true);
  }
  check("dbsize", await client.dbsize(), 300);
  check("keys", (await client.keys("key:*")).length, 300);
  check("mset", await client.mset("{tag}a", 1, "{tag}b", 2), "OK");
  check("mget", await client.mget("{tag}a", "{tag}b", "{tag}c"), ["1", "2", null]);
  check("multi", await client.multi().incr("{tag}a").get("{tag}a").exec(), [[null, 2], [null, "2"]]);
  check("pipeline", await client.pipeline().incr("{tag}a").get("{tag}a").exec(), [[null, 3], [null, "3"]]);
  client.defineCommand("add", { numberOfKeys: 1, lua: "return redis.call('incrby', KEYS[1], ARGV[1])" });
  const added = await Promise.all(KEYS.slice(0, 20).map((key) => client.add(`number:${key}`, 2)));
  check("script", added.every((number) => number === 2), true);
  await client.rpush("list", "a");
  check("blpop", await client.blpop("list", 5), ["list", "a"]);
}

async function plain() {
  const client = new Redis({ port: PORT });
  await common(client);
  check("mget of all", (await client.mget(KEYS)).join() === VALUES.join(), true);
  check("del of all", await client.del(KEYS), 300);
  await checkFails("two slots", client.rename("a", "b"), "CROSSSLOT");
  const subscriber = new Redis({ port: PORT });
  await subscriber.subscribe("channel");
  const message = new Promise((resolve) => subscriber.on("message", (channel, text) => resolve(text)));
  await client.publish("channel", "hello");
  check("message", await message, "hello");
}

async function cluster() {
  const client = new Redis.Cluster([{ host: "127.0.0.1", port: PORT }]);
  await common(client);
  const ports = client.nodes("all").map((node) => node.options.port);
  check("nodes", ports.length === 1 && ports[0] === PORT, true);
  await client.subscribe("channel");
  const message = new Promise((resolve) => client.on("message", (channel, text) => resolve(text)));
  const publisher = new Redis({ port: PORT });
  await publisher.publish("channel", "hello");
  check("message", await message, "hello");
}

run(isCluster ? cluster : plain);
