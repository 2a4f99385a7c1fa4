//! Replies that are edited: kept until they are complete, and returned in their places.

use super::*;
use crate::proxy::clients::Edit;

/// Sends requests, those with a `!` in front to be edited, and lets Redis answer in pieces of that size. In the result,
/// edited replies are in brackets, and after a `~` if the client has suppressed them.
fn edited(requests: &[&str], replies: &str, step: usize, protocol: Protocol) -> String {
    let mut dedicated = Dedicated::new(b"", (0, 0), protocol, 0);
    for line in requests {
        let edit = line.starts_with('!').then(|| Edit::User([].into()));
        let bytes = [line.trim_start_matches('!').as_bytes(), b"\r\n"].concat();
        let mut parser = Parser::new();
        let Ok(Parsed::Request { request, .. }) = parser.parse(&bytes) else {
            panic!("{line}");
        };
        let name = request.argument(0);
        dedicated.pass(&request, name, &bytes, Effects::default(), false, edit);
    }
    let mut text = Vec::new();
    for piece in replies.as_bytes().chunks(step) {
        let mut rest = piece;
        loop {
            let (received, _) = dedicated.receive(rest, &mut text, &mut |_| {});
            let Received::ToEdit { used, reply, .. } = received else {
                break;
            };
            assert!(reply.edit.is_some());
            text.extend_from_slice(if reply.is_wanted { b"[" } else { b"~[" });
            text.extend(reply.encoded);
            text.push(b']');
            rest = &rest[used..];
        }
    }
    assert!(dedicated.is_quiet(), "{requests:?}");
    String::from_utf8(text)
        .expect("a text")
        .replace("\r\n", " ")
}

#[test]
fn a_reply_is_given_back_whole_and_all_others_are_passed_on() {
    for (requests, replies, expected) in [
        (
            &["PING", "!A", "PING"][..],
            "+PONG\r\n:7\r\n+PONG\r\n",
            "+PONG [:7 ]+PONG ",
        ),
        (
            &["!A", "!B"],
            "*1\r\n:1\r\n$2\r\nhi\r\n",
            "[*1 :1 ][$2 hi ]",
        ),
        (&["!A", "!AUTH b"], "-ERR no\r\n+OK\r\n", "-ERR no [+OK ]"),
        (
            &["!HELLO 3", "PING"],
            "%1\r\n+id\r\n:1\r\n+PONG\r\n",
            "[%1 +id :1 ]+PONG ",
        ),
        (
            &["MULTI", "!A", "PING", "!B", "EXEC", "!C"],
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n+PONG\r\n-ERR no\r\n:3\r\n",
            "+OK +QUEUED +QUEUED +QUEUED *3 [:1 ]+PONG -ERR no [:3 ]",
        ),
        (
            &["MULTI", "!A", "DISCARD", "!B"],
            "+OK\r\n+QUEUED\r\n+OK\r\n:2\r\n",
            "+OK +QUEUED +OK [:2 ]",
        ),
        (
            &["CLIENT REPLY SKIP", "!A", "!B"],
            "+OK\r\n:1\r\n:2\r\n",
            "~[:1 ][:2 ]",
        ),
    ] {
        for step in 1..=replies.len() {
            for protocol in [RESP2, RESP3] {
                let text = edited(requests, replies, step, protocol);
                assert_eq!(text, expected, "{requests:?}, {step} at once");
            }
        }
    }
}

#[test]
fn messages_between_replies_are_nobodys_reply() {
    let push = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    let replies = format!("{push}:1\r\n{push}+PONG\r\n");
    let broken = ">2\r\n$21\r\ntracking-redir-broken\r\n:9\r\n";
    let shown = push.replace("\r\n", " ");
    for step in 1..=replies.len() {
        let text = edited(&["!A", "PING"], &replies, step, RESP3);
        assert_eq!(text, format!("{shown}[:1 ]{shown}+PONG "));
        let replies = format!("{broken}:1\r\n");
        let text = edited(&["A"], &replies, step, RESP3);
        assert_eq!(text, "[>2 $21 tracking-redir-broken :9 ]:1 ");
    }
}

#[test]
fn what_may_end_the_client_is_not_followed_by_anything_before_its_reply() {
    let mut world = World::new(RESP2);
    let bytes = b"CLIENT KILL x\r\n";
    let mut parser = Parser::new();
    let Ok(Parsed::Request { request, .. }) = parser.parse(bytes) else {
        panic!("a request");
    };
    let edit = Some(Edit::Kill(None));
    world
        .dedicated
        .pass(&request, b"CLIENT", bytes, Effects::default(), false, edit);
    assert!(!world.dedicated.takes_requests(MAX_OWED, Rest::ToCome));
    world.receive(b"-ERR no\r\n");
    assert!(world.dedicated.takes_requests(MAX_OWED, Rest::ToCome));
}
