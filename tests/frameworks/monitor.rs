//! What Redis executes, and when, as its `MONITOR` shows it.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::{RedisServer, eventually};

/// A command that Redis executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// When, since 1970.
    pub at: Duration,
    /// The database.
    pub database: u32,
    /// The client's address; `lua` in a script.
    pub client: String,
    /// The command, its name in lower case.
    pub words: Vec<Vec<u8>>,
}

/// All that a Redis executes from the start of this on.
pub struct Monitor<'a> {
    redis: &'a RedisServer,
    seen: Arc<Mutex<Vec<Executed>>>,
}

/// What is executed last.
const END: &[u8] = b"the end of what is watched";

impl<'a> Monitor<'a> {
    /// Watches a Redis.
    pub fn start(redis: &'a RedisServer) -> Self {
        let mut client = redis.client();
        assert_eq!(client.command(&["MONITOR"]), b"+OK\r\n");
        let seen = Arc::<Mutex<Vec<Executed>>>::default();
        thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                while let Some(line) = client.reply_whenever_it_comes() {
                    let line = String::from_utf8(line).expect("a text");
                    let executed = parse(line.trim_end());
                    let executed = executed.unwrap_or_else(|| panic!("no line of MONITOR: {line}"));
                    seen.lock().expect("no panic inside").push(executed);
                }
            }
        });
        Self { redis, seen }
    }

    /// All that was executed up to now.
    pub fn executed(&self) -> Vec<Executed> {
        let mut client = self.redis.client();
        client.command(&[b"ECHO", END]);
        let mut executed = Vec::new();
        eventually("MONITOR shows all", || {
            executed.clone_from(&self.seen.lock().expect("no panic inside"));
            // The proxy may have asked something since.
            let mut words = executed.iter().map(|executed| executed.words.last());
            words.any(|word| word.is_some_and(|word| word == END))
        });
        executed
    }
}

/// Reads a line such as `+1700000000.123456 [0 127.0.0.1:50000] "get" "a\x00"`.
fn parse(line: &str) -> Option<Executed> {
    let (time, rest) = line.strip_prefix('+')?.split_once(" [")?;
    let (seconds, micros) = time.split_once('.')?;
    let at =
        Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?);
    let (origin, rest) = rest.split_once("] ")?;
    let (database, client) = origin.split_once(' ')?;
    let mut words = Vec::new();
    let mut rest = rest.as_bytes();
    while let Some((b'"', quoted)) = rest.split_first() {
        let (word, length) = unquote(quoted)?;
        words.push(word);
        rest = quoted[length..].trim_ascii_start();
    }
    words.first_mut()?.make_ascii_lowercase();
    Some(Executed {
        at,
        database: database.parse().ok()?,
        client: client.to_string(),
        words,
    })
}

/// The word in front of the next quotation mark, and how long it is there, the mark included.
fn unquote(quoted: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut word = Vec::new();
    let mut at = 0;
    loop {
        let byte = *quoted.get(at)?;
        at += 1;
        match byte {
            b'"' => return Some((word, at)),
            b'\\' => {
                let escaped = *quoted.get(at)?;
                at += 1;
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'x' => {
                        let digits = std::str::from_utf8(quoted.get(at..at + 2)?).ok()?;
                        at += 2;
                        u8::from_str_radix(digits, 16).ok()?
                    }
                    other => other,
                });
            }
            _ => word.push(byte),
        }
    }
}

#[test]
fn a_line_of_monitor_is_read_with_what_redis_escapes() {
    let line = r#"+1700000000.000123 [1 127.0.0.1:5] "GET" "a \"b\"\\\x00\r\n" """#;
    let expected = Executed {
        at: Duration::from_micros(1_700_000_000_000_123),
        database: 1,
        client: "127.0.0.1:5".into(),
        words: vec![b"get".to_vec(), b"a \"b\"\\\0\r\n".to_vec(), Vec::new()],
    };
    assert_eq!(parse(line), Some(expected));
}
