// Works on, with default settings, until a key says that it is enough. Prints the errors that it gets.
"use strict";

const { createClient } = require("redis");
const { workOn } = require("./restart.js");

const client = createClient({ url: `redis://127.0.0.1:${process.argv[2]}` });
client.on("error", () => {});
client
  .connect()
  .then(() => workOn(client))
  .then(() => client.destroy());
