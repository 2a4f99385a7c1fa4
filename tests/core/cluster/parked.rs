//! What waits to be sent again keeps its place among the requests of its client.

use super::*;

const DOWN: &str = "-CLUSTERDOWN The cluster is down\r\n";

#[test]
fn what_was_asked_first_is_not_sent_again_behind_what_came_later() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["SET", LOW, "1"]);
    send(&mut world, client, &["SET", LOW, "2"]);
    world.answer(DOWN);
    // The second is still in flight when the first could be sent again.
    world.wait(50);
    world.turn();
    assert_asked(&world, &[(1, "SET b 2")]);
    world.answer(DOWN);
    assert_asked(&world, &[]);
    world.wait(50);
    world.turn();
    assert_asked(&world, &[(1, "SET b 1"), (1, "SET b 2")]);
    world.answer("+OK\r\n");
    world.answer("+OK\r\n");
    world.assert_received(client, "+OK\r\n".repeat(2));
}

#[test]
fn a_redirect_is_not_followed_past_what_waits_for_its_node() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["SET", LOW, "1"]);
    send(&mut world, client, &["SET", LOW, "2"]);
    world.answer(moved(LOW, 3));
    // It is not known yet where that is.
    assert_asked(&world, &[(1, "SET b 2")]);
    up(&mut world, 3);
    world.tell_of(NodeId(0), &map(&[(3, 0), (2, 8192)]));
    world.answer(moved(LOW, 3));
    world.wait(50);
    world.turn();
    assert_asked(&world, &[(3, "SET b 1"), (3, "SET b 2")]);
}

#[test]
fn others_do_not_wait_for_a_client_that_has_something_in_flight() {
    let mut world = world();
    let [client, other] = [(); 2].map(|()| world.connect());
    send(&mut world, client, &["SET", LOW, "1"]);
    send(&mut world, other, &["SET", LOW, "2"]);
    send(&mut world, client, &["SET", HIGH, "3"]);
    world.answer(DOWN);
    world.answer(DOWN);
    world.wait(50);
    world.turn();
    assert_asked(&world, &[(2, "SET a 3"), (1, "SET b 2")]);
}
