// ioredis and node-redis by TLS: tls.js PORT CA
"use strict";

const assert = require("assert");
const fs = require("fs");
const Redis = require("ioredis");
const { createClient } = require("redis");

const [port, ca] = [Number(process.argv[2]), fs.readFileSync(process.argv[3])];

async function ioredis() {
  const client = new Redis({ port, host: "localhost", tls: { ca } });
  await client.set("c", "3");
  const replies = await Promise.all(Array.from({ length: 100 }, () => client.get("c")));
  assert(replies.every((reply) => reply === "3"));
  assert.deepStrictEqual(await client.multi().incr("n").get("n").exec(), [[null, 1], [null, "1"]]);
  await client.quit();
}

async function nodeRedis() {
  const client = createClient({ socket: { port, host: "localhost", tls: true, ca } });
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
