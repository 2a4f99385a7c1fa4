//! How a connection begins and ends, and bytes that are not a sequence of replies.

use super::*;

#[test]
fn a_push_is_no_reply_to_what_sets_the_connection_up() {
    let mut world = World::with(Dedicated::new(b"", (1, 1), Protocol::Resp3, 0));
    world.send("PING");
    world.receive(b"%0\r\n>2\r\n+invalidate\r\n*0\r\n:42\r\n+PONG\r\n");
    assert_eq!(world.number, Some(Some(42)));
    assert_eq!(world.output(), "+PONG\r\n");
}

#[test]
fn nobody_is_blocked_before_redis_has_heard_of_the_connection() {
    let mut world = World::with(Dedicated::new(b"", (0, 1), RESP2, 0));
    world.send("BLPOP k 0");
    assert!(!world.dedicated.is_blocked());
    world.receive(b":42\r\n");
    assert!(world.dedicated.is_blocked());
    world.receive(b"*-1\r\n");
    assert!(!world.dedicated.is_blocked());
}

#[test]
fn a_connection_is_set_up_before_anything_else() {
    for step in 1..30 {
        let mut world = World::with(Dedicated::new(b"set up\r\n", (2, 2), RESP2, 0));
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
    let mut world = World::with(Dedicated::new(b"", (2, 2), RESP2, 0));
    world.send("PING");
    world.receive(b"+OK\r\n-NOAUTH no\r\n");
    assert_eq!(world.received, Received::Refused("NOAUTH no".into()));
    assert_eq!(world.output(), "");
    let mut world = World::with(Dedicated::new(b"", (1, 0), RESP2, 0));
    world.send("PING");
    world.receive(b"HTTP/1.1 400\r\n");
    assert!(matches!(world.received, Received::Failed(_)));
    assert_eq!(world.output(), "");
}

#[test]
fn who_logs_in_waits_and_is_set_up_then() {
    let new = || Dedicated::authenticating(b"set up\r\n".to_vec(), (1, 0), RESP2, 0);
    let mut world = World::with(new());
    assert!(world.dedicated.takes_requests(MAX_OWED, Rest::ToCome));
    world.send("AUTH a b");
    assert!(!world.dedicated.takes_requests(MAX_OWED, Rest::ToCome));
    world.receive(b"+OK\r\n");
    assert_eq!(world.received, Received::Authenticated);
    assert_eq!(world.sent(), "AUTH a b\r\nset up\r\n");
    assert!(world.dedicated.takes_requests(MAX_OWED, Rest::ToCome));
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
fn a_client_goes_back_only_if_reset_succeeds() {
    for (before, wanted) in [(&[][..], "+RESET\r\n"), (&["CLIENT REPLY SKIP"], "")] {
        let mut world = World::new(RESP2);
        world.send_all(before);
        world.receive("+OK\r\n".repeat(before.len()).as_bytes());
        world.send("RESET");
        assert!(!world.dedicated.takes_requests(MAX_OWED, Rest::ToCome));
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
        assert!(!world.dedicated.takes_requests(MAX_OWED, Rest::ToCome));
        world.receive(error.as_bytes());
        assert_eq!(world.received, Received::Passed);
        assert!(
            world.dedicated.takes_requests(MAX_OWED, Rest::ToCome) && world.dedicated.is_quiet()
        );
        // The transaction is still open.
        world.send_all(&["SET k 1", "EXEC"]);
        world.receive(b"+QUEUED\r\n-EXECABORT\r\n");
        assert!(world.dedicated.is_quiet());
    }
}

#[test]
fn nothing_is_passed_on_behind_a_quit_that_succeeds() {
    let mut world = World::new(RESP2);
    world.send("QUIT");
    assert!(!world.dedicated.takes_requests(MAX_OWED, Rest::ToCome));
    world.receive(b"-NOPERM no\r\n");
    assert!(world.dedicated.takes_requests(MAX_OWED, Rest::ToCome) && world.dedicated.is_quiet());
    world.send("QUIT");
    world.receive(b"+OK\r\n");
    assert!(!world.dedicated.takes_requests(MAX_OWED, Rest::ToCome));
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
            assert!(!world.dedicated.takes_requests(MAX_OWED, Rest::ToCome));
            for piece in stream.as_bytes().chunks(step) {
                world.receive(piece);
            }
            assert_eq!(world.output(), "+PONG\r\n".to_owned() + stream);
            assert_eq!(world.answered, ["k"]);
            assert!(
                world.dedicated.is_unparsed()
                    && world.dedicated.takes_requests(MAX_OWED, Rest::ToCome)
            );
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
