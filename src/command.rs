//! The command table: a row a command, with its name, its arity and what is done with it.

use crate::resp::request::Request;

/// What is done with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answered from the cache, or fetched from Redis into it.
    Get,
    /// Answered here: `PONG`, or the message.
    Ping,
    /// Answered here: the message.
    Echo,
    /// Answered here, and the connection is closed.
    Quit,
    /// Sent to Redis as it is; it changes nothing there, so it may be sent twice.
    Forward,
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name, in lower case, as Redis's errors show it.
    pub name: &'static str,
    /// The fewest and the most arguments, the name included.
    pub arity: (usize, usize),
    /// What is done with it.
    pub action: Action,
}

const fn row(name: &'static str, least: usize, most: usize, action: Action) -> Command {
    Command {
        name,
        arity: (least, most),
        action,
    }
}

/// Without a bound of their own, requests have that of the protocol.
const ANY: usize = usize::MAX;

/// The rows. `COMMAND` is what redis-cli asks for its hints, `CONFIG` what redis-benchmark asks first.
static TABLE: [Command; 6] = [
    row("get", 2, 2, Action::Get),
    row("ping", 1, 2, Action::Ping),
    row("echo", 2, 2, Action::Echo),
    row("quit", 1, ANY, Action::Quit),
    row("command", 1, ANY, Action::Forward),
    row("config", 2, ANY, Action::Forward),
];

/// Finds the row of a request.
///
/// # Errors
/// The message of Redis's error reply, when there is no such command or its arity is another.
pub fn find(request: &Request<'_>) -> Result<&'static Command, Vec<u8>> {
    let name = request.argument(0);
    let command = TABLE
        .iter()
        .find(|row| name.eq_ignore_ascii_case(row.name.as_bytes()))
        .ok_or_else(|| unknown(request))?;
    if (command.arity.0..=command.arity.1).contains(&request.len()) {
        Ok(command)
    } else {
        Err(format!(
            "ERR wrong number of arguments for '{}' command",
            command.name
        )
        .into_bytes())
    }
}

/// How much of a name, and of all arguments together, Redis's error for an unknown command shows.
const SHOWN: usize = 128;

/// Redis's error for an unknown command (`commandCheckExistence` in redis-server 7.0).
fn unknown(request: &Request<'_>) -> Vec<u8> {
    let mut message = b"ERR unknown command '".to_vec();
    message.extend_from_slice(c_string(request.argument(0), SHOWN));
    message.extend_from_slice(b"', with args beginning with: ");
    let start = message.len();
    for argument in request.arguments().skip(1) {
        let shown = message.len() - start;
        if shown >= SHOWN {
            break;
        }
        message.push(b'\'');
        message.extend_from_slice(c_string(argument, SHOWN - shown));
        message.extend_from_slice(b"' ");
    }
    message
}

/// What C's `%.*s` prints: no more than `most` bytes, and none from the first NUL on.
fn c_string(bytes: &[u8], most: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(most)];
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}
