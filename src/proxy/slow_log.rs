//! The proxy's slow log: the latest requests that waited long for Redis over the shared connections, for
//! `PROXY SLOWLOG`. Redis's own slow log records only how long Redis took to execute a request.

use std::collections::VecDeque;
use std::time::Duration;

use super::identity::{Identity, Peer};
use crate::resp::reply::{self, Reply};
use crate::resp::request::Request;

/// How many requests it holds (Redis's `slowlog-max-len` has the same default).
const LENGTH: usize = 128;

/// The most arguments that are shown of a request, and the most bytes of each, as in Redis.
const ARGUMENTS_SHOWN: usize = 32;
const BYTES_SHOWN: usize = 128;

/// The slow log.
#[derive(Default)]
pub(super) struct SlowLog {
    /// The newest first.
    entries: VecDeque<Entry>,
    /// How many entries were ever added.
    count: u64,
    /// How long a request must take to be slow; `None` if none ever is.
    slower_than: Option<Duration>,
    /// Buffers of words that were not logged, for reuse.
    spare: Vec<Words>,
}

/// How many of them are kept.
const SPARE: usize = 1024;

/// A request as the slow log shows it: an encoded array of its arguments, shortened. Empty for none.
pub(super) type Words = Vec<u8>;

struct Entry {
    number: u64,
    /// When it was answered, in seconds since 1970.
    at: u64,
    took: Duration,
    /// The part of that time that Redis took.
    redis: Duration,
    words: Words,
    address: Option<Peer>,
    name: Box<[u8]>,
}

impl SlowLog {
    pub fn new(slower_than: Option<Duration>) -> Self {
        Self {
            slower_than,
            ..Self::default()
        }
    }

    /// Sets how long a request must take to be slow.
    pub fn set_slower_than(&mut self, slower_than: Duration) {
        self.slower_than = Some(slower_than);
    }

    /// Encodes a request in case it turns out to be slow. `name` is the command's name before any renaming.
    pub fn words(&self, request: &Request<'_>, name: &[u8]) -> Words {
        if self.slower_than.is_some() {
            words(request, name)
        } else {
            Words::default()
        }
    }

    /// How the log would show a request that is already encoded.
    pub fn words_of(&mut self, request: &Request<'_>, name: &[u8], encoded: &[u8]) -> Words {
        let is_whole = encoded.len() <= BYTES_SHOWN && request.len() <= ARGUMENTS_SHOWN;
        if is_whole && self.slower_than.is_some() && !is_secret(name) {
            let mut words = self.spare.pop().unwrap_or_default();
            words.extend_from_slice(encoded);
            words
        } else {
            self.words(request, name)
        }
    }

    /// Keeps the buffer of words that are not logged, for reuse.
    #[inline]
    pub fn recycle(&mut self, mut words: Words) {
        if (1..=BYTES_SHOWN).contains(&words.capacity()) && self.spare.len() < SPARE {
            words.clear();
            self.spare.push(words);
        }
    }

    /// Whether a request that took so long is slow.
    pub fn is_slow(&self, took: Duration) -> bool {
        self.slower_than.is_some_and(|limit| took >= limit)
    }

    /// Adds a client's request. `redis` is the part of `took` that Redis took, `at` the time in seconds since 1970.
    pub fn add(
        &mut self,
        words: Words,
        identity: &Identity,
        took: Duration,
        redis: Duration,
        at: Duration,
    ) {
        self.entries.truncate(LENGTH - 1);
        self.entries.push_front(Entry {
            number: self.count,
            at: at.as_secs(),
            took,
            redis: redis.min(took),
            words,
            address: identity.peer.clone(),
            name: identity.name.clone(),
        });
        self.count += 1;
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn reset(&mut self) {
        self.entries.clear();
    }

    /// The `count` newest entries in Redis's form, with the microseconds that Redis took as a seventh field.
    pub fn newest(&self, count: usize) -> Reply {
        let mut out = Vec::new();
        reply::header(&mut out, b'*', count.min(self.entries.len()));
        for entry in self.entries.iter().take(count) {
            reply::header(&mut out, b'*', 7);
            reply::header(&mut out, b':', entry.number as usize);
            reply::header(&mut out, b':', entry.at as usize);
            reply::header(&mut out, b':', entry.took.as_micros() as usize);
            out.extend_from_slice(&entry.words);
            let address = entry.address.as_ref().map(Peer::to_string);
            reply::bulk(&mut out, address.unwrap_or_default().as_bytes());
            reply::bulk(&mut out, &entry.name);
            reply::header(&mut out, b':', entry.redis.as_micros() as usize);
        }
        Reply::copy(&out)
    }
}

/// The words of a GET of a key.
pub(super) fn words_of_get(key: &[u8]) -> Words {
    let mut out = Vec::with_capacity(2 * HEADER + room(key));
    reply::header(&mut out, b'*', 2);
    reply::bulk(&mut out, b"GET");
    push_word(&mut out, key);
    out
}

fn words(request: &Request<'_>, name: &[u8]) -> Words {
    // With many clients and a slow Redis, this runs for most requests; so it allocates only once.
    let rooms = request.arguments().take(ARGUMENTS_SHOWN).map(room);
    let mut out = Vec::with_capacity(HEADER + rooms.sum::<usize>());
    if is_secret(name) {
        reply::header(&mut out, b'*', 2);
        reply::bulk(&mut out, request.argument(0));
        reply::bulk(&mut out, b"(redacted)");
        return out;
    }
    let shown = request.len().min(ARGUMENTS_SHOWN);
    let whole = if request.len() > shown {
        shown - 1
    } else {
        shown
    };
    reply::header(&mut out, b'*', shown);
    for argument in request.arguments().take(whole) {
        push_word(&mut out, argument);
    }
    if whole < shown {
        let more = format!("... ({} more arguments)", request.len() - whole);
        reply::bulk(&mut out, more.as_bytes());
    }
    out
}

/// The most bytes of a RESP header line here.
const HEADER: usize = 16;

/// The most bytes that an argument takes when encoded.
fn room(word: &[u8]) -> usize {
    2 * HEADER + word.len().min(BYTES_SHOWN + 32)
}

fn push_word(out: &mut Vec<u8>, word: &[u8]) {
    if word.len() <= BYTES_SHOWN {
        return reply::bulk(out, word);
    }
    let more = format!("... ({} more bytes)", word.len() - BYTES_SHOWN);
    reply::bulk(out, &[&word[..BYTES_SHOWN], more.as_bytes()].concat());
}

/// Whether the arguments of a command may contain passwords.
fn is_secret(name: &[u8]) -> bool {
    const SECRET: [&[u8]; 6] = [
        b"acl",
        b"auth",
        b"config",
        b"hello",
        b"migrate",
        b"sentinel",
    ];
    SECRET.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::request::{Parsed, Parser};

    fn words_of(inline: &str) -> String {
        let mut parser = Parser::new();
        match parser.parse(format!("{inline}\r\n").as_bytes()) {
            Ok(Parsed::Request { request, .. }) => {
                let words = words(&request, request.argument(0));
                String::from_utf8_lossy(&words).replace("\r\n", " ")
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_short_request_is_shown_as_it_is() {
        assert_eq!(words_of("SET a 1"), "*3 $3 SET $1 a $1 1 ");
    }

    #[test]
    fn a_long_one_is_shortened_as_redis_does() {
        let long = words_of(&format!("SET a {}", "x".repeat(200)));
        assert!(long.ends_with(&format!("{}... (72 more bytes) ", "x".repeat(128))));
        let many = words_of(&format!("MSET{}", " a 1".repeat(20)));
        assert!(many.starts_with("*32 $4 MSET "));
        assert!(many.ends_with("... (10 more arguments) "), "{many}");
    }

    #[test]
    fn what_may_hold_a_password_is_not_shown() {
        for request in [
            "AUTH secret",
            "config set requirepass secret",
            "ACL SETUSER a >secret",
        ] {
            assert!(!words_of(request).contains("secret"));
        }
    }

    #[test]
    fn only_the_newest_are_kept() {
        let mut log = SlowLog::new(Some(Duration::from_millis(10)));
        assert!(!log.is_slow(Duration::from_millis(9)));
        assert!(log.is_slow(Duration::from_millis(10)));
        let identity = Identity::new(1, true, 0, crate::clock::Time::default());
        for _ in 0..200 {
            let took = Duration::from_millis(20);
            log.add(words_of_get(b"k"), &identity, took, took, Duration::ZERO);
        }
        assert_eq!(log.len(), LENGTH);
        let newest = log.newest(1);
        assert!(
            newest
                .bytes()
                .starts_with(b"*1\r\n*7\r\n:199\r\n:0\r\n:20000\r\n*2\r\n$3\r\nGET\r\n")
        );
        log.reset();
        assert_eq!(log.newest(10).bytes(), b"*0\r\n");
    }
}
