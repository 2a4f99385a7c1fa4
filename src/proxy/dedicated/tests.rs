//! The state machine: tables of requests and of what Redis sends, in pieces of every size.

use super::*;
use crate::resp::request::{Parsed, Parser};

/// A connection, with what came of it.
struct World {
    dedicated: Dedicated,
    client: Output,
    /// The keys of the requests that were carried out.
    answered: Vec<String>,
    received: Received,
}

impl World {
    fn new(protocol: Protocol) -> Self {
        Self::with(Dedicated::new(b"", (0, 0), protocol))
    }

    fn with(dedicated: Dedicated) -> Self {
        Self {
            dedicated,
            client: Output::default(),
            answered: Vec::new(),
            received: Received::Passed,
        }
    }

    /// The client sends a line. The second word of a `SET` is what it writes, and that of a `BLPOP` what it waits
    /// for.
    fn send(&mut self, line: &str) {
        let bytes = [line.as_bytes(), b"\r\n"].concat();
        match Parser::new().parse(&bytes).expect("a request") {
            Parsed::Request { request, .. } => {
                let blocks = line.starts_with("BLPOP");
                let writes = blocks || line.starts_with("SET");
                let keys = writes.then(|| request.argument(1)).into_iter().collect();
                self.dedicated
                    .pass(&request, &bytes, Keys::of(Some(keys)), blocks);
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
        let received =
            self.dedicated
                .receive(
                    bytes,
                    &mut self.client,
                    &mut |request| match request.keys.told_apart() {
                        Some(keys) => {
                            answered.extend(keys.map(|key| key.escape_ascii().to_string()))
                        }
                        None => answered.push("*".into()),
                    },
                );
        if received != Received::Passed {
            self.received = received;
        }
    }

    fn is_over(&self) -> bool {
        self.received != Received::Passed
    }

    /// What the client got since this was asked last.
    fn output(&mut self) -> String {
        let mut bytes = Vec::new();
        while !self.client.is_empty() {
            self.client.send(&mut bytes).expect("a vector");
        }
        String::from_utf8(bytes).expect("a text")
    }

    /// What Redis got.
    fn sent(&mut self) -> String {
        let mut bytes = Vec::new();
        while !self.dedicated.to_redis.is_empty() {
            self.dedicated.to_redis.send(&mut bytes).expect("a vector");
        }
        String::from_utf8(bytes).expect("a text")
    }
}

/// Lets Redis answer requests that were sent at once, in pieces of every size. Asserts that the client gets
/// `expected`, and that the last byte, and none before, leaves no request without its reply.
#[track_caller]
fn assert_passes(protocol: Protocol, requests: &[&str], replies: &str, expected: &str) {
    for step in 1..=replies.len().max(1) {
        let mut world = World::new(protocol);
        world.send_all(requests);
        let mut left = replies.len();
        for piece in replies.as_bytes().chunks(step) {
            assert!(
                !world.dedicated.is_quiet() && !world.is_over(),
                "{requests:?}: {left} bytes of the replies are unasked"
            );
            world.receive(piece);
            left -= piece.len();
        }
        assert_eq!(world.output(), expected, "{requests:?}, {step} at once");
        assert!(
            world.dedicated.is_quiet(),
            "{requests:?}: {}",
            world.dedicated.fingerprint()
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

/// What Redis sends for these requests, in order, is known to be their replies to the last byte.
#[test]
fn every_request_gets_the_replies_that_redis_sends_for_it() {
    let one = |name, count| confirm(name, "a", count);
    let many = |name: &str, counts: &[usize]| -> String {
        counts
            .iter()
            .map(|&count| confirm(name, "x", count))
            .collect()
    };
    for (requests, replies) in [
        (&["PING", "GET a"][..], "+PONG\r\n$3\r\nabc\r\n".to_owned()),
        (&["MULTI x", "GET a"], "-ERR arity\r\n$-1\r\n".into()),
        (
            &["MULTI", "SET a 1", "GET a", "EXEC", "PING"],
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n*1\r\n:1\r\n+PONG\r\n".into(),
        ),
        (&["MULTI", "EXEC", "PING"], "+OK\r\n*0\r\n+PONG\r\n".into()),
        (&["MULTI", "PING", "EXEC", "PING"], "+OK\r\n+QUEUED\r\n*-1\r\n+PONG\r\n".into()),
        (&["MULTI", "MULTI", "EXEC"], "+OK\r\n-ERR nested\r\n-EXECABORT x\r\n".into()),
        (&["MULTI", "WATCH a", "DISCARD", "EXEC"], "+OK\r\n-ERR x\r\n+OK\r\n-ERR x\r\n".into()),
        // Without a transaction, an array is one reply.
        (&["EXEC", "LRANGE l 0 1"], "-ERR x\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n".into()),
        (&["LRANGE l 0 2", "PING"], MESSAGE.to_owned() + "+PONG\r\n"),
        (
            &["SUBSCRIBE a b c", "PING"],
            many("subscribe", &[1, 2, 3]) + SUBSCRIBED_PONG,
        ),
        (&["SUBSCRIBE", "PING"], "-ERR arity\r\n+PONG\r\n".into()),
        (&["SUBSCRIBE a b", "GET a"], "-NOPERM x\r\n$-1\r\n".into()),
        (&["UNSUBSCRIBE", "PING"], confirm("unsubscribe", "", 0) + "+PONG\r\n"),
        (&["UNSUBSCRIBE x y", "PING"], many("unsubscribe", &[0, 0]) + "+PONG\r\n"),
        (
            &["SUBSCRIBE a", "PSUBSCRIBE p q", "SSUBSCRIBE s", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "GET a"],
            one("subscribe", 1)
                + &many("psubscribe", &[2, 3])
                + &one("ssubscribe", 1)
                + &one("unsubscribe", 2)
                + &many("punsubscribe", &[1, 0])
                + &one("sunsubscribe", 0)
                + "$-1\r\n",
        ),
        // A subscriber is refused most, and gets messages.
        (
            &["SUBSCRIBE a a", "MULTI", "SET a 1", "UNSUBSCRIBE", "SET a 1"],
            many("subscribe", &[1, 1])
                + MESSAGE
                + "-ERR Can't execute 'multi'\r\n"
                + PATTERN_MESSAGE
                + "-ERR Can't execute 'set'\r\n"
                + MESSAGE
                + &one("unsubscribe", 0)
                + "+OK\r\n",
        ),
        // EXEC's array holds more than it says.
        (
            &["MULTI", "SUBSCRIBE a b", "PING", "UNSUBSCRIBE", "EXEC", "PING"],
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n".to_owned()
                + &many("subscribe", &[1, 2])
                + SUBSCRIBED_PONG
                + &many("unsubscribe", &[1, 0])
                + "+PONG\r\n",
        ),
        (
            &["MULTI", "HELLO 3", "SUBSCRIBE a", "PUBLISH a x", "PING", "HELLO 2", "EXEC", "PING"],
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*5\r\n%0\r\n\
             >3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n:1\r\n\
             +PONG\r\n*0\r\n"
                .to_owned()
                + SUBSCRIBED_PONG,
        ),
        (&["HELLO 9", "PING"], "-NOPROTO x\r\n+PONG\r\n".into()),
        (&["RESET x", "PING"], "-ERR arity\r\n+PONG\r\n".into()),
        (&["", "PING", "", ""], "+PONG\r\n".into()),
        // A monitor's connection.
        (
            &["MONITOR", "MONITOR", "SYNC", "MULTI", "PING", "SET a 1", "EXEC"],
            "+OK\r\n+17.5 [0 x] \"GET\"\r\n+OK\r\n+17.5 [0 x] \"GET\"\r\n+QUEUED\r\n-ERR replica\r\n\
             -EXECABORT x\r\n"
                .into(),
        ),
        (
            &["MONITOR", "MULTI", "PING", "PING", "EXEC"],
            "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+PONG\r\n+17.5 [0 x] \"PING\"\r\n+PONG\r\n".into(),
        ),
        (&["SYNC x", "PSYNC", "PSYNC ? x", "SYNC"], "-ERR\r\n-ERR\r\n-ERR\r\n-NOPERM\r\n".into()),
        // Redis has these commands under other names.
        (
            &["BEGIN", "SET a 1", "COMMIT", "PING"],
            "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n+PONG\r\n".into(),
        ),
    ] {
        assert_passes(RESP2, requests, &replies, &replies);
    }
}

#[test]
fn what_is_pushed_in_resp3_answers_nothing_but_subscriptions() {
    let push = |name: &str, count: usize| {
        let length = name.len();
        format!(">3\r\n${length}\r\n{name}\r\n$1\r\na\r\n:{count}\r\n")
    };
    let message = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n";
    let invalidate = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    for (requests, replies) in [
        (
            &["SUBSCRIBE a b", "GET a", "LRANGE l 0 2"][..],
            push("subscribe", 1) + invalidate + &push("subscribe", 2) + message + "_\r\n" + MESSAGE,
        ),
        (
            &[
                "SUBSCRIBE a",
                "MULTI",
                "GET a",
                "EXEC",
                "UNSUBSCRIBE",
                "PING",
            ],
            push("subscribe", 1)
                + "+OK\r\n+QUEUED\r\n"
                + message
                + "*1\r\n"
                + message
                + "_\r\n"
                + &push("unsubscribe", 0)
                + "+PONG\r\n",
        ),
        (
            &["SUBSCRIBE a", "GET a"],
            "-NOPERM x\r\n".to_owned() + invalidate + "_\r\n",
        ),
        (
            &["MULTI", "GET a", "EXEC", "PING"],
            "+OK\r\n+QUEUED\r\n_\r\n+PONG\r\n".to_owned(),
        ),
        (
            &["SUBSCRIBE a", "HELLO 2", "SET a 1", "PING"],
            push("subscribe", 1) + "*0\r\n-ERR Can't\r\n" + MESSAGE + SUBSCRIBED_PONG,
        ),
        (
            &["GET a", "GET b"],
            "|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n_\r\n".to_owned(),
        ),
    ] {
        assert_passes(RESP3, requests, &replies, &replies);
    }
}

#[test]
fn the_client_gets_no_reply_that_it_does_not_want() {
    let subscribed = confirm("subscribe", "a", 1);
    let sub_message = subscribed.clone() + MESSAGE;
    let silent_subscriber = sub_message.clone() + SUBSCRIBED_PONG;
    for (requests, replies, expected) in [
        (
            &["CLIENT REPLY SKIP", "SET a 1", "PING"][..],
            "+OK\r\n:5\r\n+PONG\r\n",
            "+PONG\r\n",
        ),
        (
            &["CLIENT REPLY SKIP", "", "PING"],
            "+OK\r\n+PONG\r\n",
            "+PONG\r\n",
        ),
        (
            &["CLIENT REPLY SKIP", "NO", "PING"],
            "+OK\r\n-ERR\r\n+PONG\r\n",
            "+PONG\r\n",
        ),
        (
            &["CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "PING", "PING"],
            "+OK\r\n+OK\r\n+PONG\r\n+PONG\r\n",
            "+PONG\r\n",
        ),
        (
            &["CLIENT REPLY SKIP", "CLIENT REPLY ON", "PING"],
            "+OK\r\n+OK\r\n+PONG\r\n",
            "+OK\r\n+PONG\r\n",
        ),
        (
            &[
                "CLIENT REPLY OFF",
                "GET a",
                "CLIENT REPLY SKIP",
                "CLIENT REPLY ON",
                "PING",
            ],
            "+OK\r\n$3\r\nabc\r\n+OK\r\n+OK\r\n+PONG\r\n",
            "+OK\r\n+PONG\r\n",
        ),
        (
            &["CLIENT REPLY OFF", "CLIENT REPLY maybe", "CLIENT REPLY ON"],
            "+OK\r\n-ERR syntax error\r\n+OK\r\n",
            "+OK\r\n",
        ),
        (
            &["CLIENT REPLY OFF", "PING"],
            "-NOPERM x\r\n+PONG\r\n",
            "-NOPERM x\r\n+PONG\r\n",
        ),
        // Messages are no replies.
        (
            &["CLIENT REPLY OFF", "SUBSCRIBE a", "PING"],
            &("+OK\r\n".to_owned() + &silent_subscriber),
            &sub_message,
        ),
        // Within a transaction, from there on; with SKIP, after it.
        (
            &[
                "MULTI",
                "PING",
                "CLIENT REPLY OFF",
                "PING",
                "CLIENT REPLY ON",
                "PING",
                "EXEC",
                "PING",
            ],
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*5\r\n+PONG\r\n+OK\r\n:2\r\n+OK\r\n\
             +PONG\r\n+PONG\r\n",
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*5\r\n+PONG\r\n+OK\r\n+PONG\r\n\
             +PONG\r\n",
        ),
        (
            &[
                "MULTI",
                "CLIENT REPLY SKIP",
                "PING",
                "EXEC",
                "PING",
                "ECHO a",
            ],
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+PONG\r\n+PONG\r\n$1\r\na\r\n",
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+PONG\r\n$1\r\na\r\n",
        ),
        (
            &[
                "CLIENT REPLY OFF",
                "MULTI",
                "PING",
                "CLIENT REPLY ON",
                "PING",
                "EXEC",
            ],
            "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+PONG\r\n+OK\r\n+PONG\r\n",
            "+OK\r\n+PONG\r\n",
        ),
        (
            &["MONITOR", "CLIENT REPLY OFF", "PING", "CLIENT REPLY ON"],
            "+OK\r\n+OK\r\n+17.5 [0 x] \"A\"\r\n+PONG\r\n+OK\r\n+17.6 [0 x] \"B\"\r\n",
            "+OK\r\n+OK\r\n+17.6 [0 x] \"B\"\r\n",
        ),
        (
            &[
                "REPLCONF capa eof",
                "REPLCONF ACK 1",
                "replconf no 1 getack *",
                "PING",
            ],
            "+OK\r\n+OK\r\n-ERR option\r\n+PONG\r\n",
            "+OK\r\n-ERR option\r\n+PONG\r\n",
        ),
    ] {
        // A line of MONITOR at the end is no reply.
        let asked = replies
            .strip_suffix("+17.6 [0 x] \"B\"\r\n")
            .unwrap_or(replies);
        let wanted = expected
            .strip_suffix("+17.6 [0 x] \"B\"\r\n")
            .unwrap_or(expected);
        assert_passes(RESP2, requests, asked, wanted);
        let mut world = World::new(RESP2);
        world.send_all(requests);
        world.receive(replies.as_bytes());
        assert_eq!(world.output(), expected, "{requests:?}");
    }
}

#[test]
fn redis_answers_even_where_the_client_wants_no_reply() {
    for (line, sent) in [
        (
            "client reply off",
            "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n",
        ),
        (
            "CLIENT REPLY SKIP",
            "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n",
        ),
        ("CLIENT REPLY ON", "CLIENT REPLY ON\r\n"),
        ("CLIENT REPLY no", "CLIENT REPLY no\r\n"),
        ("CLIENT REPLY OFF x", "CLIENT REPLY OFF x\r\n"),
        ("REPLCONF ACK 1", "*1\r\n$8\r\nREPLCONF\r\n"),
        (
            "REPLCONF capa eof ack 1",
            "*3\r\n$8\r\nREPLCONF\r\n$4\r\ncapa\r\n$3\r\neof\r\n",
        ),
        ("REPLCONF ACK", "REPLCONF ACK\r\n"),
        ("", "\r\n"),
    ] {
        let mut world = World::new(RESP2);
        world.send(line);
        assert_eq!(world.sent(), sent, "{line}");
    }
}

#[test]
fn a_write_is_done_when_its_own_reply_begins() {
    for (requests, before, first) in [
        (&["SET k 1"][..], "", "+"),
        (&["PING", "SET k 1"], "+PONG\r\n", "+"),
        (&["MULTI x", "SET k 1"], "-ERR arity\r\n", "+"),
        (&["SUBSCRIBE a", "SET k 1"], "-NOPERM x\r\n", ":"),
        (
            &["UNSUBSCRIBE", "SET k 1"],
            "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n",
            "+",
        ),
        (&["CLIENT REPLY OFF", "SET k 1"], "+OK\r\n", "$"),
        (&["CLIENT REPLY SKIP", "SET k 1"], "+OK\r\n", "-"),
        (&["HELLO 3", "SET k 1"], "%0\r\n>1\r\n+x\r\n", "_"),
        (&["MULTI", "DISCARD", "SET k 1"], "+OK\r\n+OK\r\n", "+"),
        (
            &["MULTI", "NO", "EXEC", "SET k 1"],
            "+OK\r\n-ERR\r\n-EXECABORT\r\n",
            "+",
        ),
        (&["MULTI", "EXEC", "SET k 1"], "+OK\r\n*0\r\n", "+"),
        (&["MONITOR", "SET k 1"], "+OK\r\n+1.5 [0 x] \"A\"\r\n", "-"),
    ] {
        let mut world = World::new(RESP2);
        world.send_all(requests);
        world.receive(before.as_bytes());
        assert!(world.answered.is_empty(), "{requests:?}: too early");
        world.receive(first.as_bytes());
        assert_eq!(world.answered, ["k"], "{requests:?}");
    }
}

#[test]
fn what_is_queued_is_done_when_exec_is_answered() {
    let mut world = World::new(RESP2);
    world.send_all(&["MULTI", "SET a 1", "SET b 1", "EXEC", "SET c 1"]);
    world.receive(b"+OK\r\n+QUEUED\r\n-ERR\r\n");
    // Nothing is lost by taking it for done when it is only queued.
    assert_eq!(world.answered, ["a", "b"]);
    world.answered.clear();
    world.receive(b"*1\r\n");
    assert_eq!(world.answered, ["a"]);
    world.receive(b"+OK\r\n");
    assert_eq!(world.answered, ["a"]);
    world.receive(b"+OK\r\n");
    assert_eq!(world.answered, ["a", "c"]);
    assert!(world.dedicated.is_quiet());
}

#[test]
fn a_transaction_by_another_name_is_done_when_a_request_is_carried_out_again() {
    let mut world = World::new(RESP2);
    world.send_all(&["BEGIN", "SET a 1", "COMMIT"]);
    world.receive(b"+OK\r\n+QUEUED\r\n");
    world.answered.clear();
    world.receive(b"*1\r\n+OK\r\n");
    assert_eq!(world.answered, ["a"]);
    // A script may return whatever it likes.
    world.send_all(&["EVAL x 0", "SET b 1"]);
    world.receive(b"+QUEUED\r\n+OK\r\n");
    assert_eq!(world.answered, ["a", "b"]);
    assert!(world.dedicated.is_quiet());
}

#[test]
fn what_is_in_flight_when_the_connection_ends_may_have_been_written() {
    let in_flight = |world: &World| -> Vec<String> {
        let requests = world.dedicated.in_flight();
        let keys = requests.flat_map(|request| request.keys.told_apart().into_iter().flatten());
        keys.map(|key| key.escape_ascii().to_string()).collect()
    };
    let mut world = World::new(RESP2);
    world.send_all(&["SET a 1", "SET b 1"]);
    world.receive(b"+OK\r\n");
    assert_eq!(in_flight(&world), ["b"]);
    world.receive(b"+OK\r\n");
    world.send_all(&["MULTI", "SET c 1"]);
    world.receive(b"+OK\r\n+QUEUED\r\n");
    assert_eq!(in_flight(&world), [""; 0]);
    world.send("EXEC");
    assert_eq!(in_flight(&world), ["c"]);
}

#[test]
fn a_request_blocks_until_its_reply_begins() {
    let mut world = World::new(RESP2);
    world.send_all(&["PING", "BLPOP k 0", "PING"]);
    assert!(!world.dedicated.is_blocked());
    world.receive(b"+PONG\r\n");
    assert!(world.dedicated.is_blocked() && world.dedicated.passes_end_on());
    world.receive(b"*2\r\n");
    assert!(!world.dedicated.is_blocked() && !world.dedicated.passes_end_on());
    assert_eq!(world.answered, ["k"]);
    world.receive(b"+k\r\n+v\r\n+PONG\r\n");
    assert!(world.dedicated.is_quiet());
    // In a transaction nothing blocks.
    world.send_all(&["MULTI", "BLPOP k 0"]);
    world.receive(b"+OK\r\n");
    assert!(!world.dedicated.is_blocked());
}

#[test]
fn a_client_goes_back_only_if_reset_succeeds() {
    for (before, wanted) in [(&[][..], "+RESET\r\n"), (&["CLIENT REPLY SKIP"], "")] {
        let mut world = World::new(RESP2);
        world.send_all(before);
        world.receive("+OK\r\n".repeat(before.len()).as_bytes());
        world.send("RESET");
        assert!(!world.dedicated.takes_requests());
        world.receive(b"+RESE");
        assert_eq!(world.received, Received::Passed);
        world.receive(b"T\r\n");
        assert_eq!(world.received, Received::Over { reset: true });
        assert_eq!(world.output(), wanted);
    }
    for error in ["-ERR unknown command 'RESET'\r\n", "-NOPERM no\r\n"] {
        let mut world = World::new(RESP2);
        world.send_all(&["MULTI", "RESET"]);
        world.receive(b"+OK\r\n");
        assert!(!world.dedicated.takes_requests());
        world.receive(error.as_bytes());
        assert_eq!(world.received, Received::Passed);
        assert!(world.dedicated.takes_requests() && world.dedicated.is_quiet());
        // The transaction is open still.
        world.send_all(&["SET k 1", "EXEC"]);
        world.receive(b"+QUEUED\r\n-EXECABORT\r\n");
        assert!(world.dedicated.is_quiet());
    }
}

#[test]
fn nothing_is_passed_on_behind_a_quit_that_succeeds() {
    let mut world = World::new(RESP2);
    world.send("QUIT");
    assert!(!world.dedicated.takes_requests());
    world.receive(b"-NOPERM no\r\n");
    assert!(world.dedicated.takes_requests() && world.dedicated.is_quiet());
    world.send("QUIT");
    world.receive(b"+OK\r\n");
    assert!(!world.dedicated.takes_requests());
    // Redis closes the connection, not the proxy.
    assert!(!world.dedicated.is_quiet() && world.dedicated.passes_end_on());
    assert_eq!(world.output(), "-NOPERM no\r\n+OK\r\n");
}

#[test]
fn a_replication_stream_is_passed_on_as_it_is() {
    for stream in [
        "+FULLRESYNC x 0\r\n$5\r\nREDIS*1\r\n",
        "\n\n$3\r\nabc",
        "$3\r\nab\0*3",
    ] {
        for step in 1..=stream.len() {
            let mut world = World::new(RESP2);
            world.send_all(&["PING", "PSYNC ? -1", "SET k 1", "RESET"]);
            world.receive(b"+PONG\r\n");
            assert!(!world.dedicated.takes_requests());
            for piece in stream.as_bytes().chunks(step) {
                world.receive(piece);
            }
            assert_eq!(world.output(), "+PONG\r\n".to_owned() + stream);
            assert_eq!(world.answered, ["k"]);
            assert!(world.dedicated.is_unparsed() && world.dedicated.takes_requests());
            assert!(!world.dedicated.is_quiet() && world.dedicated.passes_end_on());
        }
    }
}

#[test]
fn what_a_debugged_script_writes_is_unknown() {
    let mut world = World::new(RESP2);
    world.send("SCRIPT DEBUG YES");
    world.receive(b"-ERR no\r\n");
    assert!(!world.dedicated.is_unparsed());
    world.send("SCRIPT DEBUG SYNC");
    world.receive(b"+OK\r\n");
    assert!(world.dedicated.is_unparsed());
    world.receive(b"*1\r\n+Stopped\r\n");
    assert_eq!(world.answered, ["*"]);
}

#[test]
fn what_is_no_reply_is_passed_on_as_it_is() {
    let mut world = World::new(RESP2);
    world.send_all(&["SET k 1", "PING"]);
    world.receive(b"HTTP/1.1 400\r\n");
    world.receive(b"\r\n");
    assert_eq!(world.output(), "HTTP/1.1 400\r\n\r\n");
    assert_eq!(world.answered, ["k"]);
    assert!(!world.dedicated.is_quiet());
}

#[test]
fn a_connection_is_set_up_before_anything_else() {
    for step in 1..30 {
        let mut world = World::with(Dedicated::new(b"set up\r\n", (2, 2), RESP2));
        world.send_all(&["SET k 1", "SYNC"]);
        assert_eq!(world.sent(), "set up\r\nSET k 1\r\nSYNC\r\n");
        for piece in b"+OK\r\n%0\r\n-ERR\r\n+OK\r\n".chunks(step) {
            world.receive(piece);
        }
        assert_eq!(world.output(), "");
        assert!(world.answered.is_empty());
        world.receive(b"+OK\r\n-ERR\r\n");
        assert_eq!(world.output(), "+OK\r\n-ERR\r\n");
        assert!(world.dedicated.is_quiet());
    }
    let mut world = World::with(Dedicated::new(b"", (2, 2), RESP2));
    world.send("PING");
    world.receive(b"+OK\r\n-NOAUTH no\r\n");
    assert!(matches!(world.received, Received::Failed(_)));
    assert_eq!(world.output(), "");
}

#[test]
fn who_logs_in_waits_and_is_set_up_then() {
    let new = || Dedicated::authenticating(b"set up\r\n".to_vec(), (1, 0), RESP2);
    let mut world = World::with(new());
    assert!(world.dedicated.takes_requests());
    world.send("AUTH a b");
    assert!(!world.dedicated.takes_requests());
    world.receive(b"+OK\r\n");
    assert_eq!(world.received, Received::Authenticated);
    assert_eq!(world.sent(), "AUTH a b\r\nset up\r\n");
    assert!(world.dedicated.takes_requests());
    world.send("PING");
    world.receive(b"+OK\r\n+PONG\r\n");
    assert_eq!(world.output(), "+OK\r\n+PONG\r\n");
    assert!(world.dedicated.is_quiet());

    let mut world = World::with(new());
    world.send("AUTH a b");
    world.receive(b"-WRONGPASS no\r\n");
    assert_eq!(world.received, Received::Over { reset: false });
    assert_eq!(world.output(), "-WRONGPASS no\r\n");
}

#[test]
fn what_is_in_flight_is_bounded() {
    let mut world = World::new(RESP2);
    let line = format!("SET {} 1", "k".repeat(100));
    let mut sent = 0;
    while world.dedicated.takes_requests() {
        world.send(&line);
        world.sent();
        sent += 1;
    }
    assert!((2_000..10_000).contains(&sent), "{sent}");
    // Empty lines take no room each.
    for _ in 0..100_000 {
        world.send("");
    }
    assert!(world.dedicated.expectations.cost() < 2 * IN_FLIGHT_MAX);
    world.receive("+OK\r\n".repeat(sent).as_bytes());
    assert!(world.dedicated.takes_requests() && world.dedicated.is_quiet());
    assert_eq!(world.dedicated.expectations.cost(), 0);
}

#[test]
fn a_transaction_that_changes_its_connection_without_end_is_given_up() {
    let mut world = World::new(RESP2);
    world.send("MULTI");
    world.receive(b"+OK\r\n");
    for number in 0..100_000 {
        world.send("HELLO 3");
        world.sent();
        world.receive(b"+QUEUED\r\n");
        if world.is_over() {
            assert!(number > 1000);
            return;
        }
    }
    panic!("{}", world.dedicated.fingerprint().len());
}
