//! How much a client can make the proxy hold.

use super::*;

#[test]
fn what_is_in_flight_is_bounded() {
    let mut world = World::new(RESP2);
    let line = format!("SET {} 1", "k".repeat(100));
    let mut sent = 0;
    while world.dedicated.takes_requests(MAX_OWED, Rest::ToCome) {
        world.send(&line);
        world.sent();
        sent += 1;
    }
    assert!((2_000..10_000).contains(&sent), "{sent}");
    // Empty lines take no memory each.
    for _ in 0..100_000 {
        world.send("");
    }
    assert!(world.dedicated.expectations.cost() < 2 * IN_FLIGHT_MAX);
    world.receive("+OK\r\n".repeat(sent).as_bytes());
    assert!(world.dedicated.takes_requests(MAX_OWED, Rest::ToCome) && world.dedicated.is_quiet());
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
    panic!("{:?}", world.dedicated.state());
}

#[test]
fn what_comes_is_passed_on_at_once_and_not_collected() {
    let mut world = World::new(RESP2);
    world.send_all(&["MULTI", "GET a", "EXEC", "GET a"]);
    let replies = "+OK\r\n+QUEUED\r\n*1\r\n$10\r\n0123456789\r\n$10\r\n0123456789\r\n";
    for piece in replies.as_bytes().chunks(3) {
        world.receive(piece);
        assert_eq!(world.output().as_bytes(), piece);
    }
}
