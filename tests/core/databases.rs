//! Clients in other databases than the first: each has links of its own.

use redis_proxy::proxy::ClientId;
use redis_proxy::resp::Protocol::Resp2;

use super::world::World;

const OK: &str = "+OK\r\n";
const FOR_EVER: &str = ":-1\r\n";

fn bulk(value: &str) -> String {
    format!("${}\r\n{value}\r\n", value.len())
}

/// What is to be sent on the client's dedicated connection is.
fn send_dedicated(world: &mut World, client: ClientId) {
    let to_redis = world.proxy.dedicated(client).expect("a connection");
    to_redis.send(&mut Vec::new()).expect("memory");
}

/// Redis has the client select what it asked for, and the client is served by links with its next request.
pub fn let_select(world: &mut World, client: ClientId) {
    send_dedicated(world, client);
    world.receive_dedicated(client, ":9\r\n");
    world.receive_dedicated(client, OK);
    world.assert_received(client, OK);
}

/// A world that knows that Redis has database 1.
fn world() -> World {
    let mut world = World::roomy();
    let client = world.connect();
    world.send(client, "SELECT 1\r\n");
    let_select(&mut world, client);
    world.send(client, "SELECT 0\r\n");
    world.assert_received(client, OK);
    world.leave(client);
    world
}

/// A client in a database of that world.
fn client_in(world: &mut World, database: u32) -> ClientId {
    let client = world.connect();
    world.send(client, format!("SELECT {database}\r\n"));
    world.assert_received(client, OK);
    assert!(world.proxy.dedicated(client).is_none());
    client
}

#[test]
fn the_first_who_selects_a_database_has_redis_confirm_it_and_others_need_not() {
    let mut world = World::roomy();
    let first = world.connect();
    world.send(first, "SELECT 1\r\n");
    let_select(&mut world, first);
    world.send(first, "GET key\r\n");
    world.assert_asked(&["GET key"]);
    world.answer_in(1, Resp2, &[&bulk("one"), FOR_EVER]);
    world.assert_received(first, bulk("one"));
    let second = world.connect();
    world.send(second, "SELECT 1\r\nGET key\r\nSELECT 0\r\nSELECT 0\r\n");
    world.assert_asked(&[]);
    world.assert_received(second, format!("{OK}{}{OK}{OK}", bulk("one")));
    assert!(world.proxy.dedicated(second).is_none());
    // Redis is another, and may have fewer.
    world.up_as("one");
    world.up_as("another");
    let third = world.connect();
    world.send(third, "SELECT 1\r\n");
    assert!(world.proxy.dedicated(third).is_some());
}

#[test]
fn who_is_refused_stays_where_it_is() {
    let mut world = world();
    let client = client_in(&mut world, 1);
    for error in [
        "-ERR DB index is out of range\r\n",
        "-NOPERM no\r\n",
        "-BUSY script\r\n",
    ] {
        world.send(client, "SELECT 99\r\n");
        send_dedicated(&mut world, client);
        world.receive_dedicated(client, format!("{OK}:9\r\n"));
        world.receive_dedicated(client, error);
        world.send(client, "INCR key\r\n");
        world.assert_asked(&["INCR key"]);
        world.answer_in(1, Resp2, &[":1\r\n"]);
        world.assert_received(client, format!("{error}:1\r\n"));
        world.leave(client);
        assert_eq!(world.connect(), client);
        world.send(client, "SELECT 1\r\n");
        world.assert_received(client, OK);
    }
}

#[test]
fn a_select_waits_for_the_replies_before_it() {
    let mut world = world();
    let client = world.connect();
    world.send(client, "MOVE key 1\r\nSELECT 1\r\nGET key\r\n");
    world.assert_asked(&["MOVE key 1"]);
    world.answer_in(0, Resp2, &[":1\r\n"]);
    world.assert_asked(&["GET key"]);
    world.answer_in(1, Resp2, &[&bulk("moved"), FOR_EVER]);
    world.assert_received(client, format!(":1\r\n{OK}{}", bulk("moved")));
}

#[test]
fn misses_of_a_name_in_two_databases_are_two_fetches_and_a_change_spoils_both() {
    let mut world = world();
    let clients = [0, 1, 0, 1].map(|database| {
        let client = client_in(&mut world, database);
        world.send(client, "GET key\r\n");
        client
    });
    world.assert_asked(&["GET key", "GET key"]);
    world.invalidate("key");
    for (database, value) in [(0, "zero"), (1, "one")] {
        world.answer_in(database, Resp2, &[&bulk(value), FOR_EVER]);
    }
    for (client, value) in clients.into_iter().zip(["zero", "one", "zero", "one"]) {
        world.assert_received(client, bulk(value));
        // It is not cached.
        world.send(client, "GET key\r\n");
    }
    world.assert_asked(&["GET key", "GET key"]);
}

#[test]
fn a_change_removes_a_name_from_all_databases_and_what_was_read_is_fetched_anew_where_it_was() {
    let mut world = world();
    world.proxy.set_refetch(true);
    let clients = [0, 1].map(|database| {
        let client = client_in(&mut world, database);
        world.send(client, "GET key\r\n");
        let value = bulk(&database.to_string());
        world.answer_in(database, Resp2, &[&value, FOR_EVER]);
        world.assert_received(client, value);
        client
    });
    world.send(clients[1], "GET key\r\n");
    world.assert_received(clients[1], bulk("1"));
    world.invalidate("key");
    world.assert_asked(&["GET key"]);
    world.answer_in(1, Resp2, &[&bulk("new"), FOR_EVER]);
    world.send(clients[1], "GET key\r\n");
    world.assert_received(clients[1], bulk("new"));
    world.send(clients[0], "GET key\r\n");
    world.assert_asked(&["GET key"]);
}

#[test]
fn who_is_in_a_database_that_redis_has_no_more_gets_its_error_and_others_go_on() {
    let mut world = world();
    let [here, there] = [0, 1].map(|database| {
        let client = client_in(&mut world, database);
        world.send(client, "INCR key\r\n");
        client
    });
    let error = "-ERR DB index is out of range\r\n";
    world.answer_in(1, Resp2, &[error]);
    world.answer_in(0, Resp2, &[":1\r\n"]);
    world.assert_received(there, error);
    world.assert_received(here, ":1\r\n");
}
