//! Replies that the client has suppressed.

use super::*;

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
        // Messages are not replies.
        (
            &["CLIENT REPLY OFF", "SUBSCRIBE a", "PING"],
            &("+OK\r\n".to_owned() + &silent_subscriber),
            &sub_message,
        ),
        // Within a transaction, from that point on; with SKIP, after it.
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
        // Replies to the proxy's own requests are dropped, however long the others are.
        (
            &["MONITOR", "PING", "PING", "PING"],
            "+OK\r\n+17.3 [0 [::1]:5] \"PiNG\"\r\n+PONG\r\n+17.4 [0 x] \"GET\" \"abcdefghijklmnopqrstuvwxyz\"\r\n\
             +PONG\r\n+17.5 [0 unix:/a b] \"ClIENT\" \"INFO\"\r\n+17.5 [0 x] \"PtTL\" \"k\"\r\n+PONG\r\n",
            "+OK\r\n+PONG\r\n+17.4 [0 x] \"GET\" \"abcdefghijklmnopqrstuvwxyz\"\r\n+PONG\r\n+PONG\r\n",
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
        // A line of MONITOR at the end is not a reply.
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
