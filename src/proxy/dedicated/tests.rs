//! The state machine: tables of requests and of Redis's bytes, in pieces of every size.

mod bounds;
mod edited;
mod phases;
mod replies;
mod silence;
mod writes;

use super::*;
use crate::resp::request::{Parsed, Parser};

/// A connection, with its results.
struct World {
    dedicated: Dedicated,
    client: Vec<u8>,
    /// The keys of the executed requests.
    answered: Vec<String>,
    received: Received,
    /// The id at Redis, once the connection is set up.
    number: Option<Option<i64>>,
}

impl World {
    fn new(protocol: Protocol) -> Self {
        Self::with(Dedicated::new(b"", (0, 0), protocol, 0))
    }

    fn with(dedicated: Dedicated) -> Self {
        Self {
            dedicated,
            client: Vec::new(),
            answered: Vec::new(),
            received: Received::Passed,
            number: None,
        }
    }

    /// The client sends a line. The second word of a `SET` is the key that it writes, that of a `BLPOP` the key that it
    /// waits for.
    fn send(&mut self, line: &str) {
        let bytes = [line.as_bytes(), b"\r\n"].concat();
        match Parser::new().parse(&bytes).expect("a request") {
            Parsed::Request { request, .. } => {
                let blocks = line.starts_with("BLPOP");
                let writes = blocks || line.starts_with("SET");
                let keys = writes.then(|| request.argument(1)).into_iter().collect();
                let effects = Effects {
                    keys: Keys::of(Some(keys)),
                    blocks,
                    ..Effects::default()
                };
                self.dedicated
                    .pass(&request, request.argument(0), &bytes, effects, false, None);
            }
            Parsed::Nothing { .. } => self.dedicated.pass_blank(&bytes),
            Parsed::Incomplete => panic!("a part of a request"),
        }
    }

    fn send_all(&mut self, lines: &[&str]) {
        lines.iter().for_each(|line| self.send(line));
    }

    /// Redis sends these bytes.
    fn receive(&mut self, bytes: &[u8]) {
        let answered = &mut self.answered;
        let (received, news) = self
            .dedicated
            .receive(
                bytes,
                &mut self.client,
                &mut |request| match request.keys.known() {
                    Some(keys) => answered.extend(keys.map(|key| key.escape_ascii().to_string())),
                    None => answered.push("*".into()),
                },
            );
        if received != Received::Passed {
            self.received = received;
        }
        if news.set_up.is_some() {
            assert_eq!(self.number, None, "it is set up once");
            self.number = news.set_up;
        }
    }

    fn is_over(&self) -> bool {
        self.received != Received::Passed
    }

    /// What the client has received since the last call.
    fn output(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.client)).expect("a text")
    }

    /// What Redis has received.
    fn sent(&mut self) -> String {
        let mut bytes = Vec::new();
        while !self.dedicated.to_redis.is_empty() {
            self.dedicated.to_redis.send(&mut bytes).expect("a vector");
        }
        String::from_utf8(bytes).expect("a text")
    }
}

/// Lets Redis answer requests that were sent at once, in pieces of every size. Asserts that the client gets `expected`,
/// and that the last byte, and none before, completes the replies of all requests.
#[track_caller]
fn assert_passes(protocol: Protocol, requests: &[&str], replies: &str, expected: &str) {
    for step in 1..=replies.len().max(1) {
        let mut world = World::new(protocol);
        world.send_all(requests);
        let mut left = replies.len();
        for piece in replies.as_bytes().chunks(step) {
            assert!(
                !world.dedicated.is_quiet() && !world.is_over(),
                "{requests:?}: {left} bytes of the replies are unsolicited"
            );
            world.receive(piece);
            left -= piece.len();
        }
        assert_eq!(world.output(), expected, "{requests:?}, {step} at once");
        assert!(
            world.dedicated.is_quiet(),
            "{requests:?}: {:?}",
            world.dedicated.state()
        );
    }
}

const RESP2: Protocol = Protocol::Resp2;
const RESP3: Protocol = Protocol::Resp3;

/// A confirmation.
fn confirm(name: &str, channel: &str, count: usize) -> String {
    let length = name.len();
    let channel = match channel {
        "" => "$-1\r\n".to_owned(),
        channel => format!("${}\r\n{channel}\r\n", channel.len()),
    };
    format!("*3\r\n${length}\r\n{name}\r\n{channel}:{count}\r\n")
}

const MESSAGE: &str = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n";
const PATTERN_MESSAGE: &str = "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$2\r\nhi\r\n";
const SUBSCRIBED_PONG: &str = "*2\r\n$4\r\npong\r\n$0\r\n\r\n";
