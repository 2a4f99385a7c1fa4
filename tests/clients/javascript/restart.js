// What a client of either library does while Redis restarts.
"use strict";

exports.workOn = async (client) => {
  const errors = [];
  let done = null;
  for (let number = 1; done === null; number++) {
    try {
      await client.set("count", String(number));
      await client.get(`missing:${number}`);
      done = await client.get("done");
    } catch (error) {
      errors.push(error.message);
    }
  }
  console.log(`errors: [${errors.slice(0, 5).join(", ")}]`);
};
