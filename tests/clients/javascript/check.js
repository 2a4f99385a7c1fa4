// What the programs share: checks that say what they saw.
//
// A program is called with the server's port and, where its library can choose, the version of the
// protocol to speak.

const assert = require("node:assert");

const PORT = Number(process.argv[2]);
const PROTOCOL = Number(process.argv[3] ?? 2);

// A value as text, the same for objects of every prototype.
function text(value) {
  return JSON.stringify(value instanceof Set ? [...value].sort() : value);
}

// Prints what was seen; throws when it is not what was expected.
function check(what, actual, expected) {
  assert.strictEqual(text(actual), text(expected), what);
  const seen = text(actual) ?? "undefined";
  console.log(`${what}: ${seen.length > 200 ? `${seen.length} characters` : seen}`);
}

// Checks that a promise fails, and how.
async function checkFails(what, promise, words) {
  const error = await promise.then(
    (value) => assert.fail(`${what}: expected an error, got ${text(value)}`),
    (error) => error,
  );
  assert.ok(String(error.message).includes(words), `${what}: expected "${words}", got ${error}`);
  console.log(`${what}: ${error.message}`);
}

// Calls until the result is true.
async function until(call) {
  while (!(await call()));
}

// Runs a program; ends the process with what came of it, whatever connections are left.
function run(program) {
  program().then(
    () => process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

module.exports = { PORT, PROTOCOL, check, checkFails, run, until };
