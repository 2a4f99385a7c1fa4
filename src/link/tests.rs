mod joined;
mod sent;
mod withdrawn;

use super::*;

type TestLink = Link<&'static str>;

/// A socket that takes so many bytes per write.
struct Slow {
    taken: Vec<u8>,
    step: usize,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(self.step);
        self.taken.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn at(milliseconds: u64) -> Time {
    Time::from_millis(milliseconds)
}

/// A link that is set up.
fn ready() -> TestLink {
    let mut link = TestLink::default();
    set_ready(&mut link);
    link
}

/// Sets it up; none of its requests is late.
fn set_ready(link: &mut TestLink) {
    let mut replies = Replies::default();
    link.set_ready(b"-ERR late\r\n", &mut replies);
    assert!(replies.is_empty());
}

/// Sends requests together; those that end with `!` may not be repeated.
fn send(link: &mut TestLink, requests: &[&str], now: u64) {
    let mut batch = batch_of(requests);
    link.send(&mut batch, at(now));
    assert!(batch.is_empty());
}

/// Requests of which those that end with `!` may not be repeated.
fn batch_of(requests: &[&str]) -> Batch {
    let mut batch = Batch::default();
    for request in requests {
        batch.push(!request.ends_with('!'), |out| {
            out.extend_from_slice(request.as_bytes());
        });
    }
    batch
}

/// Writes everything that may be written.
fn written(link: &mut TestLink) -> String {
    let mut socket = Slow {
        taken: Vec::new(),
        step: 3,
    };
    while !link.is_empty() {
        Source::send(link, &mut socket).expect("it takes bytes");
    }
    String::from_utf8(socket.taken).expect("text")
}

/// Writes so many bytes.
fn write_some(link: &mut TestLink, bytes: usize) {
    let mut socket = Slow {
        taken: Vec::new(),
        step: 1,
    };
    for _ in 0..bytes {
        Source::send(link, &mut socket).expect("it takes bytes");
    }
}

/// The result of received bytes.
fn received(link: &mut TestLink, bytes: &str) -> Received<&'static str> {
    let mut received = Received::default();
    link.receive(bytes.as_bytes(), &mut received, at(0))
        .expect("replies");
    received
}

fn texts(replies: &Replies) -> Vec<String> {
    let text = |reply: &[u8]| String::from_utf8_lossy(reply).trim_end().to_owned();
    replies.iter().map(text).collect()
}

#[test]
fn replies_come_out_in_the_order_of_their_requests_however_they_come_in() {
    let stream = [
        "+1\r\n",
        "$3\r\na\r\n\r\n",
        "*2\r\n:1\r\n:2\r\n",
        "-ERR 4\r\n",
    ];
    let bytes = stream.concat();
    for split in 0..=bytes.len() {
        let mut link = ready();
        send(&mut link, &["a", "b"], 0);
        send(&mut link, &["c", "d"], 0);
        assert_eq!(written(&mut link), "abcd");
        let mut replies = texts(&received(&mut link, &bytes[..split]).replies);
        replies.extend(texts(&received(&mut link, &bytes[split..]).replies));
        assert_eq!(replies, stream.map(str::trim_end));
        assert!(link.is_idle());
    }
}

#[test]
fn what_is_sent_while_replies_are_due_leaves_at_once() {
    let mut link = ready();
    send(&mut link, &["a"], 0);
    assert_eq!(written(&mut link), "a");
    send(&mut link, &["b"], 0);
    assert_eq!(written(&mut link), "b");
}

#[test]
fn clients_wait_until_the_connection_is_set_up() {
    let mut link = TestLink::default();
    send(&mut link, &["a"], 0);
    link.ask("who", b"[auth]", at(0));
    link.ask("where", b"[select]", at(0));
    assert_eq!(written(&mut link), "[auth][select]");
    let answers = received(&mut link, "+OK\r\n+OK\r\n").answers;
    let questions: Vec<_> = answers.iter().map(|(question, _)| *question).collect();
    assert_eq!(questions, ["who", "where"]);
    assert!(!link.has_questions());
    assert_eq!(written(&mut link), "");
    set_ready(&mut link);
    assert_eq!(written(&mut link), "a");
    assert_eq!(texts(&received(&mut link, "+1\r\n").replies), ["+1"]);
}

#[test]
fn a_question_between_requests_gets_its_own_answer() {
    let mut link = ready();
    send(&mut link, &["a"], 0);
    link.ask("ping", b"[ping]", at(0));
    send(&mut link, &["b"], 0);
    assert_eq!(written(&mut link), "a[ping]b");
    let received = received(&mut link, "+1\r\n+PONG\r\n+2\r\n");
    assert_eq!(texts(&received.replies), ["+1", "+2"]);
    assert_eq!(received.answers, [("ping", b"+PONG\r\n".to_vec())]);
}

#[test]
fn invalidations_are_told_from_replies() {
    let mut link = ready();
    send(&mut link, &["a"], 0);
    written(&mut link);
    let push = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    let received = received(&mut link, &format!("{push}+1\r\n{push}"));
    assert_eq!(texts(&received.replies), ["+1"]);
    assert_eq!(received.invalidated.keys.len(), 2);
}

#[test]
fn a_reply_that_nothing_was_asked_for_is_an_error_and_never_the_next_ones() {
    let mut link = ready();
    let mut received = Received::default();
    let unexpected = link.receive(b"+1\r\n", &mut received, at(0));
    assert_eq!(unexpected, Err(LinkError::Unexpected));
    // Nor is there one for a request that was only partly written.
    let mut link = ready();
    send(&mut link, &["ab"], 0);
    write_some(&mut link, 1);
    let unexpected = link.receive(b"+1\r\n", &mut received, at(0));
    assert_eq!(unexpected, Err(LinkError::Unexpected));
    assert!(received.replies.is_empty());
}

#[test]
fn what_is_no_reply_is_an_error() {
    let mut link = ready();
    send(&mut link, &["a"], 0);
    written(&mut link);
    let mut received = Received::default();
    let error = link.receive(b"+1\r\nHTTP/1.1 400\r\n", &mut received, at(0));
    assert_eq!(error, Err(LinkError::Frame(FrameError::NotAReply)));
    assert_eq!(texts(&received.replies), ["+1"]);
}

/// Breaks a connection after so many bytes were written and so many replies arrived; another one answers what is sent
/// again. Returns what that is, and all replies to the clients.
fn broken_after(requests: &[&str], bytes: usize, replies: usize) -> (String, Vec<String>) {
    let mut link = ready();
    for request in requests {
        send(&mut link, &[request], 0);
    }
    write_some(&mut link, bytes);
    let mut got = texts(&received(&mut link, &"+old\r\n".repeat(replies)).replies);
    let mut failed = Replies::default();
    link.renew(b"-ERR broken\r\n", &mut failed);
    got.extend(texts(&failed));
    assert_eq!(written(&mut link), "");
    set_ready(&mut link);
    let again = written(&mut link);
    let answers = "+new\r\n".repeat(again.matches(';').count());
    got.extend(texts(&received(&mut link, &answers).replies));
    assert!(link.is_idle());
    (again, got)
}

#[test]
fn when_a_connection_breaks_reads_are_sent_again_and_writes_fail_in_their_places() {
    let requests = ["a;", "b;!", "c;", "d;!"];
    let all = requests.concat().len();
    let (again, got) = broken_after(&requests, all, 0);
    assert_eq!(again, "a;c;");
    assert_eq!(got, ["+new", "-ERR broken", "+new", "-ERR broken"]);
    let (again, got) = broken_after(&requests, all, 1);
    assert_eq!(again, "c;");
    assert_eq!(got, ["+old", "-ERR broken", "+new", "-ERR broken"]);
}

#[test]
fn when_a_connection_breaks_what_was_not_wholly_written_is_sent_whatever_it_is() {
    let requests = ["a;", "b;!", "c;"];
    let all = requests.concat().len();
    for bytes in 0..=all {
        let (again, got) = broken_after(&requests, bytes, 0);
        let write_was_sent = bytes >= "a;b;!".len();
        assert_eq!(again, if write_was_sent { "a;c;" } else { "a;b;!c;" });
        assert_eq!(got[1] == "-ERR broken", write_was_sent);
        assert_eq!(got.len(), requests.len());
    }
}

#[test]
fn a_request_that_breaks_two_connections_is_not_sent_a_third_time() {
    let mut link = ready();
    send(&mut link, &["a", "b"], 0);
    let mut replies = Replies::default();
    for _ in 0..2 {
        assert_eq!(written(&mut link), "ab");
        link.renew(b"-ERR broken\r\n", &mut replies);
        set_ready(&mut link);
    }
    assert_eq!(written(&mut link), "");
    assert_eq!(texts(&replies), ["-ERR broken", "-ERR broken"]);
}

#[test]
fn nothing_of_a_reply_that_broke_off_is_taken_for_the_next() {
    let mut link = ready();
    send(&mut link, &["a"], 0);
    written(&mut link);
    assert!(received(&mut link, "$10\r\nhalf").replies.is_empty());
    let mut replies = Replies::default();
    link.renew(b"-ERR broken\r\n", &mut replies);
    set_ready(&mut link);
    written(&mut link);
    assert_eq!(texts(&received(&mut link, "+1\r\n").replies), ["+1"]);
}

#[test]
fn each_request_is_late_by_its_own_time_and_only_once() {
    let mut link = ready();
    send(&mut link, &["a", "b"], 10);
    send(&mut link, &["c"], 20);
    written(&mut link);
    assert_eq!(link.oldest_in_time(), Some(at(10)));
    assert_eq!(link.late(at(9)), 0);
    assert_eq!(link.late(at(10)), 2);
    assert_eq!(link.late(at(10)), 0);
    assert_eq!(link.oldest_in_time(), Some(at(20)));
    // Their replies still come first.
    received(&mut link, "+1\r\n");
    assert_eq!(link.late(at(15)), 0);
    assert_eq!(link.late(at(20)), 1);
    assert_eq!(link.oldest_in_time(), None);
    received(&mut link, "+2\r\n+3\r\n");
    send(&mut link, &["d"], 30);
    assert_eq!(link.oldest_in_time(), Some(at(30)));
    assert_eq!(link.late(at(30)), 1);
}

#[test]
fn what_was_late_is_not_sent_again() {
    let mut link = ready();
    send(&mut link, &["a", "b"], 10);
    send(&mut link, &["c"], 20);
    written(&mut link);
    assert_eq!(link.late(at(10)), 2);
    received(&mut link, "+1\r\n");
    let mut replies = Replies::default();
    link.renew(b"-ERR broken\r\n", &mut replies);
    set_ready(&mut link);
    assert_eq!(texts(&replies), ["-ERR broken"]);
    assert_eq!(written(&mut link), "c");
    assert_eq!(link.late(at(20)), 1);
}

#[test]
fn what_was_late_before_there_was_a_connection_is_not_sent_at_all() {
    let mut link = TestLink::default();
    send(&mut link, &["a!", "b!"], 10);
    send(&mut link, &["c!"], 20);
    assert_eq!(link.late(at(10)), 2);
    link.ask("who", b"[who]", at(25));
    assert_eq!(written(&mut link), "[who]");
    received(&mut link, "+me\r\n");
    let mut replies = Replies::default();
    link.set_ready(b"-ERR late\r\n", &mut replies);
    assert_eq!(texts(&replies), ["-ERR late", "-ERR late"]);
    assert_eq!(written(&mut link), "c!");
    assert_eq!(link.late(at(15)), 0);
    assert_eq!(texts(&received(&mut link, "+3\r\n").replies), ["+3"]);
}

#[test]
fn without_a_connection_every_request_fails() {
    let mut link = ready();
    link.ask("ping", b"[ping]", at(0));
    send(&mut link, &["a", "b!"], 0);
    send(&mut link, &["c"], 0);
    written(&mut link);
    received(&mut link, "+PONG\r\n+1\r\n");
    let mut replies = Replies::default();
    link.fail(b"-ERR away\r\n", &mut replies);
    assert_eq!(texts(&replies), ["-ERR away", "-ERR away"]);
    assert!(link.is_idle() && !link.is_ready());
}

#[test]
fn what_has_failed_gets_its_own_error_when_the_others_fail() {
    let mut link = ready();
    send(&mut link, &["a", "b!", "c"], 0);
    written(&mut link);
    let mut replies = Replies::default();
    link.renew(b"-broken\r\n", &mut replies);
    send(&mut link, &["d!"], 0);
    assert_eq!(texts(&replies), [""; 0]);
    // The write may have been executed.
    link.fail(b"-elsewhere\r\n", &mut replies);
    assert_eq!(
        texts(&replies),
        ["-elsewhere", "-broken", "-elsewhere", "-elsewhere"]
    );
}

/// Everything that can happen to a link, at random: no reply goes to another request, and none is missing.
#[test]
fn whatever_happens_each_request_gets_its_own_reply_or_an_error() {
    for seed in 0..2000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut link = TestLink::default();
        // The number of sent requests, and their replies.
        let (mut sent, mut got) = (0, Vec::new());
        // What Redis has received and not answered, and its replies in transit.
        let (mut at_redis, mut on_the_way) = (String::new(), String::new());
        for step in 0..200 {
            let mut replies = Replies::default();
            match random.u8(..12) {
                0..=2 => {
                    let mut batch = Batch::default();
                    for _ in 0..random.usize(1..4) {
                        let repeatable = random.bool();
                        batch.push(repeatable, |out| {
                            out.extend_from_slice(format!("{sent};").as_bytes());
                        });
                        sent += 1;
                    }
                    link.send(&mut batch, at(step));
                }
                3..=4 if !link.is_empty() => {
                    let mut socket = Slow {
                        taken: Vec::new(),
                        step: random.usize(1..20),
                    };
                    Source::send(&mut link, &mut socket).expect("it takes bytes");
                    at_redis += &String::from_utf8(socket.taken).expect("text");
                }
                5..=6 => {
                    while let Some((number, rest)) = at_redis.split_once(';') {
                        on_the_way += &format!("${}\r\n{number}\r\n", number.len());
                        at_redis = rest.to_owned();
                    }
                }
                7..=8 => {
                    let length = random.usize(..=on_the_way.len());
                    let rest = on_the_way.split_off(length);
                    let received = received(&mut link, &on_the_way);
                    for (question, answer) in received.answers {
                        assert!(String::from_utf8_lossy(&answer).contains(question));
                    }
                    replies = received.replies;
                    on_the_way = rest;
                }
                9 => match random.u8(..4) {
                    0 => {
                        link.renew(b"-broken\r\n", &mut replies);
                        (at_redis, on_the_way) = Default::default();
                    }
                    1 if random.u8(..4) == 0 => {
                        link.fail(b"-away\r\n", &mut replies);
                        (at_redis, on_the_way) = Default::default();
                    }
                    _ => link.ask("who", b"who;", at(step)),
                },
                10 if !link.has_questions() => link.set_ready(b"-late\r\n", &mut replies),
                _ => {
                    link.late(at(step.saturating_sub(random.u64(..100))));
                }
            }
            got.extend(texts(&replies));
        }
        let mut replies = Replies::default();
        link.fail(b"-away\r\n", &mut replies);
        got.extend(texts(&replies));
        assert_eq!(got.len(), sent, "with seed {seed}");
        for (number, reply) in got.iter().enumerate() {
            let own = reply.ends_with(&format!("\r\n{number}"));
            assert!(
                own || reply.starts_with('-'),
                "{number} got {reply:?} with seed {seed}"
            );
        }
    }
}

#[test]
fn the_start_of_a_reply_that_nothing_was_asked_for_is_no_start_of_the_next_ones() {
    let unexpected = |link: &mut TestLink, bytes: &str| {
        let result = link.receive(bytes.as_bytes(), &mut Received::default(), at(0));
        assert_eq!(result, Err(LinkError::Unexpected), "{bytes:?}");
    };
    for bytes in ["+", "$5\r\nab", "*1\r\n", "*"] {
        unexpected(&mut ready(), bytes);
        // After the last one that was written.
        let mut link = ready();
        send(&mut link, &["a"], 0);
        written(&mut link);
        unexpected(&mut link, &format!("+1\r\n{bytes}"));
        // Before it is written.
        let mut link = ready();
        send(&mut link, &["abc"], 0);
        write_some(&mut link, 2);
        unexpected(&mut link, bytes);
    }
    // A push may arrive at any time, and in parts.
    assert!(
        received(&mut ready(), ">2\r\n$10\r\ninval")
            .replies
            .is_empty()
    );
}

#[test]
fn a_question_has_a_short_answer() {
    let mut link = ready();
    link.ask("ping", b"[ping]", at(0));
    written(&mut link);
    let bytes = format!("${MAX_ANSWER}\r\n");
    let result = link.receive(bytes.as_bytes(), &mut Received::default(), at(0));
    let error = LinkError::Frame(FrameError::TooLong(MAX_ANSWER));
    assert_eq!(result, Err(error));
}
