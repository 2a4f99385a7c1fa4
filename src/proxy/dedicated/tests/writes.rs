//! When the keys that a request wrote are invalidated.

use super::*;

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
    // It does no harm to count a request as executed when it is only queued.
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
    // A script may return anything.
    world.send_all(&["EVAL x 0", "SET b 1"]);
    world.receive(b"+QUEUED\r\n+OK\r\n");
    assert_eq!(world.answered, ["a", "b"]);
    assert!(world.dedicated.is_quiet());
}

#[test]
fn what_is_in_flight_when_the_connection_ends_may_have_been_written() {
    let in_flight = |world: &World| -> Vec<String> {
        let requests = world.dedicated.in_flight();
        let keys = requests.flat_map(|effects| effects.keys.known().into_iter().flatten());
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
