//! What clients may ask: commands and keys that are refused, and the prefix of their keys.

use redis_proxy::command::CommandList;
use redis_proxy::proxy::ClientId;
use redis_proxy::rules::{Clients, Listener, Pattern, Rule, Rules};

use crate::world::{World, bulk, get, multibulk};

const NO_KEY: &str =
    "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
const NO_FLUSHALL: &str = "-NOPERM this user has no permissions to run the 'flushall' command\r\n";

/// The last reply of a dedicated connection's set-up.
const NUMBER: &str = ":9\r\n";

fn rule(pattern: &str) -> Rule {
    Rule::new(Pattern::new(pattern.as_bytes()))
}

fn world_with(rules: &[Rule]) -> World {
    let mut world = World::roomy();
    let mut all = Rules::default();
    rules.iter().for_each(|rule| all.push(rule.clone()));
    world.proxy.set_request_rules(&all);
    world
}

/// A world in which the keys of all clients begin with `p:`.
fn prefixed() -> World {
    world_with(&[Rule {
        prefix: Some("p:".into()),
        ..rule("*")
    }])
}

fn denying(pattern: &str) -> World {
    world_with(&[Rule {
        deny: true,
        ..rule(pattern)
    }])
}

/// What was sent on a client's dedicated connection.
fn sent(world: &mut World, client: ClientId) -> String {
    let output = world.proxy.dedicated(client).expect("a connection");
    let mut bytes = Vec::new();
    while !output.is_empty() {
        output.send(&mut bytes).expect("room");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All that others have written is out of the cache.
fn pass_barriers(world: &mut World) {
    while let Some(barrier) = world.proxy.take_barrier() {
        world.pass_barrier(barrier);
    }
}

#[test]
fn a_denied_key_is_refused_in_order_whatever_is_cached() {
    let mut world = World::roomy();
    world.cache("secret", "1");
    let mut rules = Rules::default();
    rules.push(Rule {
        deny: true,
        ..rule("secret*")
    });
    world.proxy.set_request_rules(&rules);
    let client = world.connect();
    let requests = [get("a"), get("secret"), multibulk(&["MGET", "a", "secret"])];
    world.send(client, requests.concat());
    world.assert_asked(&["GET a"]);
    world.answer(bulk("2"));
    world.assert_received(
        client,
        [&bulk("2")[..], NO_KEY.as_bytes(), NO_KEY.as_bytes()].concat(),
    );
    // Rules that change hold for those who are there.
    world.proxy.set_request_rules(&Rules::default());
    world.send(client, get("secret"));
    world.assert_received(client, bulk("1"));
}

#[test]
fn nobody_slips_past_by_a_transaction() {
    for requests in [
        "MULTI\r\nGET secret\r\nEXEC\r\n",
        "WATCH a\r\nMULTI\r\nGET secret\r\nEXEC\r\n",
        "MULTI\r\nEVAL x 1 secret\r\nEXEC\r\n",
    ] {
        let mut world = denying("secret");
        let client = world.connect();
        world.send(client, requests);
        world.assert_asked(&[]);
        world.receive_dedicated(client, NUMBER);
        let sent = sent(&mut world, client);
        assert!(sent.contains("MULTI") && !sent.contains("secret"), "{sent}");
        let replies = match requests.starts_with("WATCH") {
            true => "+OK\r\n+OK\r\n-ERR unknown\r\n-EXECABORT no\r\n",
            false => "+OK\r\n-ERR unknown\r\n-EXECABORT no\r\n",
        };
        world.receive_dedicated(client, replies);
        pass_barriers(&mut world);
        world.assert_received(client, replies.replace("-ERR unknown\r\n", NO_KEY));
    }
}

#[test]
fn nobody_slips_past_by_a_dedicated_connection() {
    let mut world = denying("secret");
    let client = world.connect();
    world.send(client, "SUBSCRIBE c\r\nBLPOP secret 0\r\nGET secret\r\n");
    world.receive_dedicated(client, NUMBER);
    assert!(!sent(&mut world, client).contains("secret"));
    let confirmation = "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
    world.receive_dedicated(client, format!("{confirmation}-ERR a\r\n-ERR b\r\n"));
    world.assert_received(client, format!("{confirmation}{NO_KEY}{NO_KEY}"));
}

#[test]
fn what_is_no_request_does_not_go_on_to_redis_unseen() {
    let mut world = denying("secret");
    let client = world.connect();
    world.send(client, "SUBSCRIBE c\r\n");
    world.receive_dedicated(client, NUMBER);
    sent(&mut world, client);
    world.send(client, "*1\r\n!GET secret\r\n");
    assert!(!sent(&mut world, client).contains("secret"));
}

#[test]
fn a_connection_of_requests_stays_one() {
    let mut world = denying("secret");
    let client = world.connect();
    world.send(client, "SYNC\r\nSCRIPT DEBUG YES\r\nPSYNC ? -1\r\n");
    let refused = |name: &str| {
        format!("-NOPERM this user has no permissions to run the '{name}' command\r\n")
    };
    let expected = ["sync", "script|debug", "psync"].map(refused).concat();
    world.assert_received(client, expected);
    world.assert_asked(&[]);
}

#[test]
fn a_denied_command_is_refused_to_every_client() {
    let mut world = World::roomy();
    let commands = CommandList::parse("FLUSHALL").expect("a list");
    world.proxy.deny_commands(commands);
    world.cache("a", "1");
    let client = world.connect();
    world.send(client, "FLUSHALL\r\nGET a\r\nflushall\r\n");
    let expected = format!("{NO_FLUSHALL}$1\r\n1\r\n{NO_FLUSHALL}");
    world.assert_received(client, expected);
    world.assert_asked(&[]);
}

#[test]
fn a_command_of_which_nothing_is_known_does_not_reach_a_key_that_is_denied() {
    let mut world = denying("secret");
    world.up_with_commands(&["get", "client", "client|id"]);
    let client = world.connect();
    world.send(client, "MY.READ secret\r\n");
    world.assert_asked(&["COMMAND INFO my.read"]);
    world.answer("-NOPERM no\r\n");
    world.assert_received(
        client,
        "-NOPERM this user has no permissions to run the 'my.read' command\r\n",
    );
    assert!(world.proxy.dedicated(client).is_none());
}

#[test]
fn keys_with_a_prefix_are_fetched_cached_and_invalidated_as_redis_has_them() {
    let mut world = prefixed();
    let client = world.connect();
    for (request, asked, reply) in [
        (get("a"), "GET p:a", "$1\r\n1\r\n"),
        (multibulk(&["HGETALL", "h"]), "HGETALL p:h", "*0\r\n"),
    ] {
        world.send(client, &request);
        world.assert_asked(&[asked]);
        world.answer(reply);
        world.send(client, &request);
        world.assert_received(client, reply.repeat(2));
    }
    world.invalidate("a");
    world.send(client, get("a"));
    world.assert_received(client, "$1\r\n1\r\n");
    world.invalidate("p:a");
    world.send(client, get("a"));
    world.assert_received(client, "");
}

#[test]
fn a_write_with_a_prefix_is_read_back() {
    let mut world = prefixed();
    let client = world.connect();
    world.send(client, get("a"));
    world.answer(bulk("1"));
    world.send(client, "SET a 2\r\nMGET a b\r\n");
    world.assert_asked(&["SET p:a 2", "GET p:a", "GET p:b"]);
    world.answer("+OK\r\n");
    world.answer(bulk("2"));
    world.answer("$-1\r\n");
    world.assert_received(client, "$1\r\n1\r\n+OK\r\n*2\r\n$1\r\n2\r\n$-1\r\n");
}

#[test]
fn clients_of_other_listeners_have_other_keys() {
    let mut world = world_with(&[Rule {
        prefix: Some("p:".into()),
        clients: Clients {
            listener: Some(Listener::TlsPort),
            user: None,
        },
        ..rule("*")
    }]);
    let (plain, tls) = (world.connect(), world.connect());
    world.proxy.note_listener(tls, Listener::TlsPort);
    world.send(plain, get("a"));
    world.send(tls, get("a"));
    world.assert_asked(&["GET a", "GET p:a"]);
    world.answer(bulk("1"));
    world.answer(bulk("2"));
    world.assert_received(plain, bulk("1"));
    world.assert_received(tls, bulk("2"));
}

#[test]
fn replies_that_name_keys_name_them_as_the_client_does() {
    let mut world = prefixed();
    let client = world.connect();
    world.send(client, "KEYS *\r\nSCAN 0\r\n");
    world.assert_asked(&["KEYS p:*", "SCAN 0 MATCH p:*"]);
    world.answer("*1\r\n$3\r\np:a\r\n");
    world.answer("*2\r\n$1\r\n0\r\n*1\r\n$3\r\np:a\r\n");
    world.assert_received(
        client,
        "*1\r\n$1\r\na\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n",
    );
    world.send(client, "BLPOP a 0\r\n");
    world.receive_dedicated(client, NUMBER);
    assert!(sent(&mut world, client).contains("$3\r\np:a\r\n"));
    world.receive_dedicated(client, "*2\r\n$3\r\np:a\r\n$1\r\n1\r\n");
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.pass_barrier(barrier);
    world.assert_received(client, "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
}

#[test]
fn messages_about_keys_of_others_are_left_out_and_all_wait_for_reports() {
    let mut world = prefixed();
    let client = world.connect();
    world.send(client, "SUBSCRIBE __keyevent@0__:set\r\n");
    world.receive_dedicated(client, NUMBER);
    let confirmation = "*3\r\n$9\r\nsubscribe\r\n$18\r\n__keyevent@0__:set\r\n:1\r\n";
    world.receive_dedicated(client, confirmation);
    let message = |key: &str| {
        let key = String::from_utf8(bulk(key)).expect("text");
        format!("*3\r\n$7\r\nmessage\r\n$18\r\n__keyevent@0__:set\r\n{key}")
    };
    let received = String::from_utf8(world.received(client)).expect("text");
    world.receive_dedicated(client, [message("q:a"), message("p:a")].concat());
    world.assert_received(client, "");
    pass_barriers(&mut world);
    let rest = String::from_utf8(world.received(client)).expect("text");
    assert_eq!(received + &rest, confirmation.to_owned() + &message("a"));
}

#[test]
fn a_transaction_with_a_prefix_reads_and_names_own_keys() {
    let mut world = prefixed();
    let client = world.connect();
    world.send(client, "MULTI\r\nSET a 1\r\nKEYS *\r\nEXEC\r\n");
    world.receive_dedicated(client, NUMBER);
    assert!(sent(&mut world, client).contains("p:a"));
    world.receive_dedicated(
        client,
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n*1\r\n$3\r\np:a\r\n",
    );
    pass_barriers(&mut world);
    world.assert_received(
        client,
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n*1\r\n$1\r\na\r\n",
    );
    // Then the shared connections serve it again.
    world.send(client, get("a"));
    world.assert_asked(&["GET p:a"]);
}

#[test]
fn what_would_reach_the_keys_of_others_is_refused() {
    let mut world = prefixed();
    let client = world.connect();
    for command in ["FLUSHALL", "RANDOMKEY", "SWAPDB 0 1", "MIGRATE h 1 a 0 5"] {
        world.send(client, format!("{command}\r\n"));
        let received = String::from_utf8(world.received(client)).expect("text");
        assert!(
            received.contains("can't be confined to the prefix"),
            "{received}"
        );
    }
    world.assert_asked(&[]);
}
