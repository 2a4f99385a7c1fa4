//! Requests with numbers, whose replies show which of them they belong to.

use crate::common::wire::Reply;
use crate::common::{bulk, request};

/// The start of the keys that only one request ever names, and of those that many do.
const ONCE: &str = "once";
const OFTEN: &str = "often";

/// What stands in the place of a reply when there is none.
pub const OUT_OF_THE_BLUE: &str = "ERR out of the blue";

/// A request of a client.
pub struct Numbered {
    pub bytes: Vec<u8>,
    expected: Reply,
    /// The proxy answers by itself, so there is no reason for an error.
    local: bool,
}

impl Numbered {
    /// A request with a number of its own.
    pub fn new(random: &mut fastrand::Rng, number: u64) -> Self {
        let key = format!("{ONCE}:{number}");
        let often = format!("{OFTEN}:{}", random.u8(..6));
        match random.u8(..9) {
            0 | 1 => Self::upstream(&["GET", &key]),
            2 => Self::upstream(&["GET", &often]),
            3 | 4 => Self::upstream(&["GETRANGE", &key, "0", "-1"]),
            5 => Self::upstream(&["APPEND", &key, "x"]),
            6 => Self::upstream(&["LRANGE", &key, "0", "-1"]),
            7 => Self::upstream(&["MGET", &key, &often, &format!("{key}+")]),
            _ => Self {
                bytes: request(&["ECHO", &key]),
                expected: Reply::Text(key),
                local: true,
            },
        }
    }

    fn upstream(words: &[&str]) -> Self {
        Self {
            bytes: request(words),
            expected: expected(words),
            local: false,
        }
    }

    /// Whether a reply is an error that stands in the place of the right one.
    ///
    /// # Panics
    /// When it belongs to another request, or to none.
    #[track_caller]
    pub fn is_failure(&self, reply: &Reply) -> bool {
        let failed = match (reply, &self.expected) {
            (Reply::Array(elements), Reply::Array(expected)) => {
                let all = elements.len() == expected.len();
                let mut pairs = elements.iter().zip(expected);
                all && pairs.all(|(element, expected)| element == expected || is_error(element))
            }
            (reply, _) => is_error(reply),
        };
        let own = *reply == self.expected;
        assert!(
            own || failed && !self.local,
            "{:.200?} is no reply to \"{}\"",
            reply,
            self.bytes.escape_ascii()
        );
        !own
    }
}

fn is_error(reply: &Reply) -> bool {
    let starts = ["ERR backing Redis at ", OUT_OF_THE_BLUE];
    matches!(reply, Reply::Error(text) if starts.iter().any(|start| text.starts_with(start)))
}

/// What Redis answers to a request that names keys of these.
fn expected(words: &[&str]) -> Reply {
    match words {
        ["APPEND", key, ..] => Reply::Number(number(key)),
        ["LRANGE", key, ..] => {
            let elements = [value("LRANGE", key), key.to_string()];
            Reply::Array(elements.map(Reply::Text).into())
        }
        ["MGET", keys @ ..] => {
            let values = keys.iter().map(|key| Reply::Text(value("GET", key)));
            Reply::Array(values.collect())
        }
        [command, key, ..] => Reply::Text(value(command, key)),
        _ => unreachable!("every request has a key"),
    }
}

/// The same, encoded; none when the request is of another kind.
pub fn answer(arguments: &[Vec<u8>]) -> Option<Vec<u8>> {
    let words: Vec<_> = arguments
        .iter()
        .map(|argument| String::from_utf8_lossy(argument))
        .collect();
    let words: Vec<&str> = words.iter().map(|word| &**word).collect();
    let key = words.get(1)?;
    if !key.starts_with(ONCE) && !key.starts_with(OFTEN) {
        return None;
    }
    match words[0] {
        "GET" | "GETRANGE" | "APPEND" | "LRANGE" | "MGET" => Some(encode(&expected(&words))),
        // How long the key has to live: for ever.
        "PTTL" | "PEXPIRETIME" => Some(b":-1\r\n".to_vec()),
        _ => None,
    }
}

/// How often such a request may be sent: a read once more when its connection breaks, a write never.
pub fn most_often(arguments: &[Vec<u8>]) -> usize {
    match (&*arguments[0], arguments[1].starts_with(ONCE.as_bytes())) {
        (b"APPEND", _) => 1,
        (_, true) => 2,
        (_, false) => usize::MAX,
    }
}

fn number(key: &str) -> i64 {
    let digits = key.chars().filter(char::is_ascii_digit);
    digits.collect::<String>().parse().expect("a numbered key")
}

/// A value that names the request, and is long now and then.
fn value(command: &str, key: &str) -> String {
    let length = match number(key) % 40 {
        0 => 100_000,
        1..10 => 1000,
        _ => 0,
    };
    format!("{command} {key} {}", "=".repeat(length))
}

fn encode(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Text(text) => bulk(text),
        Reply::Number(number) => format!(":{number}\r\n").into_bytes(),
        Reply::Array(elements) => {
            let mut bytes = format!("*{}\r\n", elements.len()).into_bytes();
            elements
                .iter()
                .for_each(|element| bytes.extend(encode(element)));
            bytes
        }
        Reply::Error(_) | Reply::Null => unreachable!("no request expects it"),
    }
}
