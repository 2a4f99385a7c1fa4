//! Tables of requests and of everything that Redis sends for them.

use super::*;

/// Redis's bytes for these requests are recognised as their replies, to the last byte.
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
        // A subscriber is refused most requests, and gets messages.
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
        // EXEC's array holds more replies than it announces.
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
