//! `PROXY CONFIG`, `PROXY RULES`, `PROXY CACHE` and `PROXY INVALIDATE`.

use std::time::Duration;

use redis_proxy::cache::Limits;
use redis_proxy::clock::Time;
use redis_proxy::config::{Config, ConfigSet};
use redis_proxy::proxy::{Access, ClientId, Proxy};

use crate::world::{World, bulk, get, multibulk, roomy};

const OK: &[u8] = b"+OK\r\n";

/// A world in which clients may change settings.
fn world(rules: &str) -> World {
    let mut world = World::roomy();
    let config = Config {
        rules: rules.parse().expect("rules"),
        config_set: ConfigSet::Yes,
        touch: Duration::ZERO,
        ..Config::default()
    };
    world.proxy.configure(&config);
    world
}

/// What the proxy answers to a request, whose words have a blank between two.
#[track_caller]
fn say(world: &mut World, client: ClientId, request: &str) -> Vec<u8> {
    let words: Vec<&str> = request.split(' ').collect();
    world.send(client, multibulk(&words));
    world.received(client)
}

fn array(words: &[&str]) -> Vec<u8> {
    multibulk(words)
}

#[test]
fn rules_are_shown_in_order() {
    let mut world = world("a* pin ; b ttl=5");
    let client = world.connect();
    let rules = say(&mut world, client, "PROXY RULES");
    assert_eq!(rules, array(&["a* pin", "b ttl=5"]));
}

#[test]
fn help_names_the_subcommands_and_errors_name_help() {
    let mut world = world("");
    let client = world.connect();
    for (request, expected) in [
        ("PROXY HELP", "+CACHE KEYS <pattern> [<count>]\r\n"),
        ("upstream help", "+INFO [<section> ...]\r\n"),
        (
            "PROXY CACHE",
            "-ERR wrong number of arguments for 'proxy|cache' command",
        ),
        ("PROXY CACHE NOPE", "-ERR try PROXY CACHE KEYS pattern"),
        ("PROXY CACHE KEYS", "-ERR try PROXY CACHE KEYS pattern"),
        (
            "PROXY",
            "-ERR wrong number of arguments for 'proxy' command",
        ),
        (
            "proxy nope",
            "-ERR unknown subcommand 'nope'. Try PROXY HELP.",
        ),
        (
            "UPSTREAM GET x",
            "-ERR unknown subcommand 'GET'. Try UPSTREAM HELP.",
        ),
    ] {
        let reply = String::from_utf8(say(&mut world, client, request)).expect("a text");
        assert!(reply.contains(expected), "{request}: {reply}");
    }
}

#[test]
fn settings_are_shown_by_patterns() {
    let mut world = world("");
    let client = world.connect();
    let settings = say(
        &mut world,
        client,
        "proxy config get CACHE_t* redis_password rule",
    );
    let expected = ["cache_ttl", "300000", "redis_password", "", "rule", ""];
    assert_eq!(settings, array(&expected));
    say(&mut world, client, "HELLO 3");
    let settings = say(&mut world, client, "PROXY CONFIG GET capacity");
    assert_eq!(settings, b"%1\r\n$8\r\ncapacity\r\n$4\r\n1024\r\n");
}

#[test]
fn commands_are_denied_from_then_on_and_allowed_again() {
    let mut world = world("");
    let (client, other) = (world.connect(), world.connect());
    let denied = b"-NOPERM this user has no permissions to run the 'flushall' command\r\n";
    let set = "PROXY CONFIG SET deny_command";
    assert_eq!(say(&mut world, client, &format!("{set} FLUSH*")), OK);
    assert!(world.proxy.take_reconfigured().is_some());
    for client in [client, other] {
        assert_eq!(say(&mut world, client, "FLUSHALL"), denied);
    }
    world.assert_asked(&[]);
    assert_eq!(say(&mut world, client, &format!("{set} ")), OK);
    assert!(world.proxy.take_reconfigured().is_some());
    world.send(other, multibulk(&["FLUSHALL"]));
    world.assert_asked(&["FLUSHALL"]);
}

#[test]
fn keys_are_touched_later_if_redis_can_not_be_asked() {
    let touching = |event: fn(&mut World)| {
        let mut world = World::roomy();
        let config = Config {
            touch: Duration::from_millis(10),
            ..Config::default()
        };
        world.proxy.configure(&config);
        world.cache("key", "value");
        let client = world.connect();
        assert_eq!(say(&mut world, client, "GET key"), bulk("value"));
        event(&mut world);
        world.wait(10);
        world.turn();
        world
    };
    touching(|_| {}).assert_asked(&["INFO memory"]);
    for event in [World::silent, World::lose, World::lose_tracking] {
        let mut world = touching(event);
        world.assert_asked(&[]);
        world.up();
        world.wait(10);
        world.turn();
        world.assert_asked(&["INFO memory"]);
    }
}

#[test]
fn a_password_is_not_shown() {
    let mut world = world("");
    let config = Config {
        redis_password: Some(redis_proxy::config::Secret::new("top")),
        ..Config::default()
    };
    world.proxy.configure(&config);
    let client = world.connect();
    let settings = say(&mut world, client, "PROXY CONFIG GET *");
    let settings = String::from_utf8(settings).expect("text");
    assert!(
        settings.contains("redis_password\r\n$8\r\n<hidden>"),
        "{settings}"
    );
    assert!(!settings.contains("top"), "{settings}");
}

#[test]
fn settings_that_are_changed_hold_from_then_on() {
    let mut world = world("");
    let client = world.connect();
    assert_eq!(
        say(
            &mut world,
            client,
            "PROXY CONFIG SET cache_ttl 10 missing_ttl 5"
        ),
        OK
    );
    assert!(world.proxy.take_reconfigured().is_some());
    assert!(world.proxy.take_reconfigured().is_none());
    world.cache("key", "value");
    world.wait(9);
    assert_eq!(say(&mut world, client, "GET key"), bulk("value"));
    world.wait(1);
    world.send(client, get("key"));
    world.assert_asked(&["GET key"]);
    world.answer("$-1\r\n");
    world.received(client);
    world.wait(5);
    world.send(client, get("key"));
    world.assert_asked(&["GET key"]);
    world.answer(bulk("value"));
    world.received(client);
    let change = multibulk(&["PROXY", "CONFIG", "SET", "rule", "key nocache ; other pin"]);
    world.send(client, change);
    world.assert_received(client, OK);
    let rules = say(&mut world, client, "PROXY RULES");
    assert_eq!(rules, array(&["key nocache", "other pin"]));
    assert!(world.proxy.cache().is_empty());
}

#[test]
fn a_smaller_capacity_holds_soon() {
    let mut world = world("");
    for number in 0..500 {
        world.cache(&number.to_string(), "value");
    }
    let client = world.connect();
    assert_eq!(world.proxy.cache().len(), 500);
    assert_eq!(say(&mut world, client, "PROXY CONFIG SET capacity 10"), OK);
    assert_eq!(world.proxy.cache().len(), 10);
    assert_eq!(say(&mut world, client, "GET 499"), bulk("value"));
}

#[test]
fn a_setting_that_can_not_be_changed_is_refused_and_so_are_those_beside_it() {
    let mut world = world("");
    let client = world.connect();
    let mut refused = |request: &str, error: &str| {
        let reply = say(&mut world, client, request);
        let reply = String::from_utf8(reply).expect("text");
        assert_eq!(reply, format!("-ERR {error}\r\n"));
        let ttl = say(&mut world, client, "PROXY CONFIG GET cache_ttl");
        assert_eq!(ttl, array(&["cache_ttl", "300000"]));
    };
    refused(
        "PROXY CONFIG SET cache_ttl 5 port 1",
        "CONFIG SET failed (possibly related to argument 'port') - can't set immutable config",
    );
    refused(
        "PROXY CONFIG SET cache_ttl 5 no_such 1",
        "Unknown option or number of arguments for CONFIG SET - 'no_such'",
    );
    refused(
        "PROXY CONFIG SET cache_ttl 0",
        "CONFIG SET failed (possibly related to argument 'cache_ttl') - expected a whole number of milliseconds from 1 \
         to 31536000000",
    );
    refused(
        "PROXY CONFIG SET cache_ttl",
        "try PROXY CONFIG GET pattern [pattern ...] or SET name value [name value ...]",
    );
}

#[test]
fn only_those_may_change_settings_who_are_let() {
    let mut world = world("");
    for who in [ConfigSet::No, ConfigSet::Local] {
        let config = Config {
            config_set: who,
            ..Config::default()
        };
        world.proxy.configure(&config);
        // Where it is, is not known.
        let client = world.connect();
        let reply = say(&mut world, client, "PROXY CONFIG SET cache_ttl 5");
        assert!(reply.starts_with(b"-ERR PROXY CONFIG SET not allowed."));
        assert!(world.proxy.take_reconfigured().is_none());
    }
}

#[test]
fn what_matches_is_invalidated_in_every_database() {
    let mut world = world("pinned* pin ; ahead* refresh=100 ; stale* stale=100");
    let client = world.connect();
    for key in ["a:1", "a:2", "b:1", "pinned:a", "ahead:a", "stale:a"] {
        world.cache(key, "value");
    }
    let reader = world.connect();
    world.send(reader, get("a:missing"));
    world.answer("$-1\r\n");
    let keys = say(&mut world, client, "PROXY CACHE KEYS a:*");
    assert_eq!(keys, array(&["a:1", "a:2", "a:missing"]));
    assert_eq!(say(&mut world, client, "PROXY INVALIDATE a:*"), b":3\r\n");
    assert_eq!(say(&mut world, client, "PROXY INVALIDATE a:*"), b":0\r\n");
    let keys = say(&mut world, client, "PROXY CACHE KEYS *");
    assert_eq!(keys, array(&["b:1", "pinned:a", "ahead:a", "stale:a"]));
    assert_eq!(say(&mut world, client, "PROXY INVALIDATE *:a"), b":3\r\n");
    let keys = say(&mut world, client, "PROXY CACHE KEYS *");
    assert_eq!(keys, array(&["b:1"]));
}

#[test]
fn what_was_asked_for_before_does_not_come_in_after_it() {
    let mut world = world("");
    let (reader, client) = (world.connect(), world.connect());
    world.send(reader, get("key"));
    assert_eq!(say(&mut world, client, "PROXY INVALIDATE *"), b":0\r\n");
    world.answer(bulk("value"));
    world.assert_received(reader, bulk("value"));
    assert!(world.proxy.cache().is_empty());
}

#[test]
fn keys_are_named_as_far_as_there_is_room() {
    let mut world = world("");
    let client = world.connect();
    for number in 0..20 {
        world.cache(&format!("key:{number}"), "value");
    }
    let keys = say(&mut world, client, "PROXY CACHE KEYS key:1?");
    assert!(keys.starts_with(b"*10\r\n"));
    let keys = say(&mut world, client, "PROXY CACHE KEYS * 7");
    assert!(keys.starts_with(b"*7\r\n"));
    let none = say(&mut world, client, "PROXY CACHE KEYS * 0");
    assert_eq!(none, b"-ERR count should be from 1 to 100000\r\n");
}

#[test]
fn what_is_cached_of_a_key_is_shown() {
    let mut world = world("key* ttl=60000");
    let client = world.connect();
    assert_eq!(say(&mut world, client, "PROXY CACHE GET key"), b"$-1\r\n");
    world.cache("key", "value");
    // To look at it is not to read it.
    for _ in 0..2 {
        let shown = say(&mut world, client, "PROXY CACHE GET key");
        let shown = String::from_utf8(shown).expect("text");
        assert!(shown.contains("hits\r\n:0\r\n"), "{shown}");
    }
    assert_eq!(say(&mut world, client, "GET key"), bulk("value"));
    world.send(client, multibulk(&["STRLEN", "key"]));
    world.answer(":5\r\n");
    world.received(client);
    world.wait(10_000);
    let expected = "*18\r\n$5\r\nvalue\r\n$6\r\nstring\r\n$11\r\nvalue-bytes\r\n:5\r\n$7\r\nanswers\r\n*1\r\n*2\r\n\
                    $6\r\nSTRLEN\r\n:4\r\n$6\r\nttl-ms\r\n:50000\r\n$6\r\nage-ms\r\n:10000\r\n$4\r\nhits\r\n:1\r\n\
                    $6\r\npinned\r\n$2\r\nno\r\n$10\r\ncost-bytes\r\n:184\r\n$4\r\nrule\r\n$14\r\nkey* ttl=60000\r\n";
    let shown = say(&mut world, client, "PROXY CACHE GET key");
    assert_eq!(String::from_utf8(shown).expect("text"), expected);
    let nothing = say(&mut world, client, "PROXY CACHE NOPE key");
    assert!(nothing.starts_with(b"-ERR try "));
}

/// A proxy whose walks take more than one step.
struct Large {
    proxy: Proxy,
    now: Time,
}

impl Large {
    const ENTRIES: usize = 20_000;

    fn new() -> Self {
        let limits = Limits {
            entries: Self::ENTRIES,
            ..roomy()
        };
        let mut world = World::new(limits);
        for number in 0..Self::ENTRIES {
            if number % 100 == 0 {
                world.wait(1);
            }
            world.cache(&format!("key:{number}"), "value");
        }
        let now = world.time();
        let mut proxy =
            std::mem::replace(&mut world.proxy, Proxy::new(limits, Access::default(), 0));
        for client in [1, 2] {
            proxy.connect(ClientId(client), None, now);
        }
        Self { proxy, now }
    }

    fn send(&mut self, client: usize, words: &[&str]) {
        self.proxy
            .receive(ClientId(client), &multibulk(words), self.now);
    }

    /// Has all clients go on that can, and returns what one has received.
    fn received(&mut self, client: usize) -> Vec<u8> {
        while let Some(client) = self.proxy.next_changed() {
            if self.proxy.can_resume(client) {
                self.proxy.resume(client, self.now);
            }
        }
        let mut received = Vec::new();
        let output = self.proxy.output(ClientId(client));
        while !output.is_empty() {
            output.send(&mut received).expect("memory");
        }
        received
    }
}

#[test]
fn a_long_walk_takes_a_step_a_turn_and_others_are_served_meanwhile() {
    let mut large = Large::new();
    large.send(1, &["PROXY", "INVALIDATE", "key:1*"]);
    large.send(2, &["GET", "key:2"]);
    assert_eq!(large.received(2), bulk("value"));
    let mut turns = 0;
    while large.proxy.has_work() {
        assert_eq!(large.received(1), b"");
        let before = large.proxy.cache().len();
        large.proxy.work(large.now);
        assert!(before - large.proxy.cache().len() < 3000);
        turns += 1;
    }
    assert!(turns > 5, "{turns}");
    assert_eq!(large.received(1), b":11111\r\n");
    assert_eq!(large.proxy.cache().len(), Large::ENTRIES - 11_111);
}

#[test]
fn who_walks_waits_for_a_walk_before_it_even_if_that_client_has_left() {
    let mut large = Large::new();
    large.send(1, &["PROXY", "INVALIDATE", "key:1*"]);
    large.send(2, &["PROXY", "CACHE", "KEYS", "key:1*"]);
    assert!(large.proxy.has_work());
    large.proxy.disconnect(ClientId(1), large.now);
    let mut turns = 0;
    let mut received = Vec::new();
    while received.is_empty() {
        large.proxy.work(large.now);
        received = large.received(2);
        turns += 1;
        assert!(turns < 100, "it comes to an end");
    }
    assert_eq!(received, b"*0\r\n");
}

#[test]
fn an_old_value_does_not_escape_a_walk_beside_a_new_answer() {
    let mut large = Large::new();
    large.send(1, &["PROXY", "INVALIDATE", "key:*"]);
    // The last entries are visited last; a short-lived answer would move this one to where the walk has been.
    large.send(2, &["STRLEN", "key:19999"]);
    let asked = large.proxy.requests();
    asked
        .iter_mut()
        .for_each(|(_, batch)| drop(std::mem::take(batch)));
    let mut replies = redis_proxy::upstream::Replies::default();
    replies.push(b":5\r\n");
    replies.push(b":20\r\n");
    let link = redis_proxy::upstream::LinkId::new(redis_proxy::resp::Protocol::Resp2, 0);
    let event = redis_proxy::upstream::Event::Replies { link, replies };
    large.proxy.upstream(&event, large.now);
    while large.proxy.has_work() {
        large.proxy.work(large.now);
    }
    let look = large
        .proxy
        .cache()
        .look(redis_proxy::cache::Key::new(0, b"key:19999"), large.now);
    assert!(look.is_none_or(|look| look.value.is_none()));
}
