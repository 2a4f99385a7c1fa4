// ioredis and node-redis by a Unix socket: unix.js PATH
"use strict";

const assert = require("assert");
const Redis = require("ioredis");
const { createClient } = require("redis");

const path = process.argv[2];

async function ioredis() {
  const client = new Redis(path);
  await client.set("c", "3");
  const replies = await Promise.all(Array.from({ length: 100 }, () => client.get("c")));
  assert(replies.every((reply) => reply === "3"));
  await client.quit();
}

async function nodeRedis() {
  const client = createClient({ socket: { path } });
  await client.connect();
  await client.set("d", "4");
  for (let n = 0; n < 100; n++) assert.strictEqual(await client.get("d"), "4");
  await client.quit();
}

(async () => {
  await ioredis();
  await nodeRedis();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
