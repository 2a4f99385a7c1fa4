// An application with its sessions in connect-redis.

const http = require("node:http");
const session = require("express-session");
const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");

const PORT = Number(process.argv[2]);

const pages = {
  "/login": (request) => {
    request.session.user = request.headers.user;
    request.session.visits = 0;
    return "welcome";
  },
  "/me": (request) => request.session.user ?? "nobody",
  "/visit": (request) => String((request.session.visits += 1)),
  "/logout": (request) => new Promise((done) => request.session.destroy(() => done("bye"))),
};

async function main() {
  const client = createClient({ url: `redis://127.0.0.1:${PORT}` });
  await client.connect();
  const withSession = session({
    store: new RedisStore({ client }),
    secret: "secret",
    resave: false,
    saveUninitialized: false,
  });
  const server = http.createServer((request, response) => {
    withSession(request, response, async () => response.end(await pages[request.url](request)));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();

  const cookies = {};
  async function get(user, page) {
    const headers = { user, cookie: cookies[user] ?? "" };
    const response = await fetch(`http://127.0.0.1:${port}${page}`, { headers });
    const cookie = response.headers.get("set-cookie");
    if (cookie) cookies[user] = cookie.split(";")[0];
    return response.text();
  }

  const users = ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal"];
  for (const user of users) console.log(await get(user, "/me"), await get(user, "/login"));
  for (let number = 0; number < 20; number += 1) {
    const seen = [];
    for (const user of users) {
      seen.push(await get(user, "/me"));
      if (number % 10 === 0) seen.push(await get(user, "/visit"));
    }
    console.log(seen.join(" "));
  }
  console.log(await get("ann", "/logout"), await get("ann", "/me"));
  process.exit(0);
}

main();
