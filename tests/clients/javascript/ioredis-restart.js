// Works on, with default settings, until a key says that it is enough. Prints the errors that it gets.
"use strict";

const Redis = require("ioredis");
const { workOn } = require("./restart.js");

const client = new Redis({ port: Number(process.argv[2]) });
client.on("error", () => {});
workOn(client).then(() => client.disconnect());
