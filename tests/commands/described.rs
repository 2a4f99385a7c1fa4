//! Commands of which Redis tells only when it is asked for them, as those of a module that was loaded since.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{OK, dedicated};
use crate::common::{
    Answer, FakeRedis, Proxy, RedisServer, assert_same, bulk, eventually, request,
};

/// The description of a command that takes one key.
fn description(name: &str, flag: &str) -> Vec<u8> {
    [
        b"*1\r\n*10\r\n",
        &bulk(name)[..],
        b":2\r\n*1\r\n+",
        flag.as_bytes(),
        b"\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n",
    ]
    .concat()
}

const NOT_KNOWN: &[u8] = b"*1\r\n*-1\r\n";

/// Whether it is `COMMAND INFO` of that name.
fn asks_for(request: &[Vec<u8>], name: &str) -> bool {
    matches!(request, [command, info, asked] if command == b"COMMAND" && info == b"INFO" && asked == name.as_bytes())
}

fn is(request: &[Vec<u8>], name: &str) -> bool {
    request[0].eq_ignore_ascii_case(name.as_bytes())
}

fn started(redis: &FakeRedis) -> Proxy {
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_redis();
    proxy
}

#[test]
fn a_command_of_a_module_is_asked_for_once_and_goes_by_what_redis_says() {
    let asked = Arc::new(AtomicUsize::new(0));
    let redis = FakeRedis::start_for_all({
        let asked = Arc::clone(&asked);
        move |request| {
            if asks_for(request, "my.get") {
                asked.fetch_add(1, Ordering::SeqCst);
                return Some(Answer::Reply(description("my.get", "readonly")));
            }
            is(request, "my.get").then(|| Answer::Reply(bulk("mine")))
        }
    });
    let proxy = started(&redis);
    for _ in 0..10 {
        let mut client = proxy.client();
        client.send("My.Get k\r\nmy.get k\r\n");
        assert_same(&client.read_replies(2), &bulk("mine").repeat(2), &"MY.GET");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(dedicated(&proxy), 0);
}

#[test]
fn what_a_module_writes_is_read_anew() {
    let redis = FakeRedis::start_for_all(|request| {
        if asks_for(request, "my.set") {
            return Some(Answer::Reply(description("my.set", "write")));
        }
        is(request, "my.set").then(|| Answer::Reply(OK.to_vec()))
    });
    let proxy = started(&redis);
    let mut client = proxy.client();
    for key in ["a", "b"] {
        client.command(&["SET", key, "1"]);
        client.get(key);
    }
    let removed = super::field(&proxy, "cache_removed_written");
    assert_same(&client.command(&["MY.SET", "a"]), OK, &"MY.SET");
    assert_eq!(
        super::field(&proxy, "cache_removed_written"),
        removed + 1,
        "its key alone"
    );
}

#[test]
fn a_command_that_redis_does_not_know_is_asked_for_again_later() {
    let loaded = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let redis = FakeRedis::start_for_all({
        let (loaded, asked) = (Arc::clone(&loaded), Arc::clone(&asked));
        move |request| {
            if asks_for(request, "my.get") {
                asked.fetch_add(1, Ordering::SeqCst);
                let known = loaded.load(Ordering::SeqCst);
                let reply = if known {
                    description("my.get", "readonly")
                } else {
                    NOT_KNOWN.to_vec()
                };
                return Some(Answer::Reply(reply));
            }
            is(request, "my.get").then(|| Answer::Reply(bulk("mine")))
        }
    });
    let proxy = started(&redis);
    let mut client = proxy.client();
    let error = b"-ERR unknown command 'my.get', with args beginning with: 'k' \r\n";
    let pipeline = request(&["my.get", "k"]).repeat(1000);
    client.send(&pipeline);
    assert_same(
        &client.read_replies(1000),
        &error.repeat(1000),
        &"not loaded yet",
    );
    assert!(
        asked.load(Ordering::SeqCst) < 10,
        "it is remembered for a moment"
    );
    loaded.store(true, Ordering::SeqCst);
    eventually("the module is noticed", || {
        client.command(&["my.get", "k"]) == bulk("mine")
    });
    assert_eq!(dedicated(&proxy), 0);
}

#[test]
fn loading_a_module_through_the_proxy_has_it_known_at_once() {
    for on_dedicated in [false, true] {
        let loaded = Arc::new(AtomicBool::new(false));
        let redis = FakeRedis::start_for_all({
            let loaded = Arc::clone(&loaded);
            move |request| {
                if is(request, "module") {
                    loaded.store(true, Ordering::SeqCst);
                    return Some(Answer::Reply(OK.to_vec()));
                }
                let known = loaded.load(Ordering::SeqCst);
                if asks_for(request, "my.get") {
                    return Some(Answer::Reply(if known {
                        description("my.get", "readonly")
                    } else {
                        NOT_KNOWN.to_vec()
                    }));
                }
                (known && is(request, "my.get")).then(|| Answer::Reply(bulk("mine")))
            }
        });
        let proxy = started(&redis);
        let (mut client, mut other) = (proxy.client(), proxy.client());
        if on_dedicated {
            client.command(&["WATCH", "k"]);
        }
        for client in [&mut client, &mut other] {
            let unknown = client.command(&["MY.GET", "k"]);
            assert!(
                unknown.starts_with(b"-ERR unknown command "),
                "{}",
                unknown.escape_ascii()
            );
        }
        assert_same(
            &client.command(&["MODULE", "LOAD", "/my.so"]),
            OK,
            &"MODULE LOAD",
        );
        for client in [&mut client, &mut other] {
            assert_same(&client.command(&["MY.GET", "k"]), &bulk("mine"), &"MY.GET");
        }
    }
}

#[test]
fn what_changes_commands_or_rights_has_the_table_told_anew() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let library = "#!lua name=mine\nredis.register_function('f', function() return 1 end)";
    for dedicated in [false, true] {
        let mut client = proxy.client();
        if dedicated {
            client.command(&["WATCH", "k"]);
        }
        for arguments in [
            &["FUNCTION", "LOAD", library][..],
            &["FUNCTION", "DELETE", "mine"],
            &["FUNCTION", "FLUSH"],
            &["ACL", "SETUSER", "somebody"],
            &["ACL", "DELUSER", "somebody"],
            &["MODULE", "UNLOAD", "none"],
        ] {
            let before = redis.calls("command");
            client.command(arguments);
            eventually(arguments[1], || redis.calls("command") > before);
        }
    }
    // However many come, there is one COMMAND at a time.
    let before = redis.calls("command");
    let mut client = proxy.client();
    client.send(request(&["FUNCTION", "FLUSH"]).repeat(1000));
    client.read_replies(1000);
    proxy.let_it_read();
    assert!(redis.calls("command") - before < 100);
}

#[test]
fn subcommands_that_we_know_nothing_of_have_a_dedicated_connection() {
    let redis = FakeRedis::start_for_all(|request| {
        let name = match request {
            [command, info, asked] if command == b"COMMAND" && info == b"INFO" => {
                String::from_utf8_lossy(asked)
            }
            [command, ..] if command == b"CLIENT" && request[1] == b"CAPA" => {
                return Some(Answer::Reply(OK.to_vec()));
            }
            _ => return None,
        };
        let known = ["client|capa", "client|import-source", "cluster|syncslots"].contains(&&*name);
        known.then(|| Answer::Reply(description(&name, "fast")))
    });
    let proxy = started(&redis);
    let mut client = proxy.client();
    assert_same(
        &client.command(&["CLIENT", "CAPA", "redirect"]),
        OK,
        &"CAPA",
    );
    assert_eq!(dedicated(&proxy), 1);
    // They stay, as the connection of one that leaves still counts for a moment.
    let mut clients = vec![client];
    for arguments in [
        &["client", "import-source", "on"][..],
        &["CLUSTER", "SYNCSLOTS", "x"],
    ] {
        let before = dedicated(&proxy);
        let mut client = proxy.client();
        assert!(client.command(arguments).starts_with(b"-ERR "));
        assert_eq!(dedicated(&proxy), before + 1, "{arguments:?}");
        clients.push(client);
    }
}

#[test]
fn what_a_library_says_of_itself_needs_no_dedicated_connection() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let (mut client, mut direct) = (proxy.client(), redis.client());
    // Redis 7.0 knows none of these, and its own errors are right.
    for arguments in [
        &["CLIENT", "SETINFO", "LIB-NAME", "redis-py"][..],
        &["CLIENT", "SETINFO", "LIB-VER", "5.0"],
        &["CLIENT", "NO-TOUCH", "ON"],
        &["CLIENT", "CAPA", "redirect"],
        &["CLUSTER", "MYSHARDID"],
        &["SCRIPT", "SHOW", "x"],
    ] {
        let expected = direct.command(arguments);
        assert!(expected.starts_with(b"-ERR unknown subcommand '"));
        assert_same(&client.command(arguments), &expected, &arguments);
    }
    assert_eq!(dedicated(&proxy), 0);
}

/// As Redis 7.2 has it, for which one is taken that does not describe its commands.
#[test]
fn what_a_library_may_not_call_itself_is_refused_in_its_own_spelling() {
    let redis = RedisServer::start();
    redis
        .client()
        .command(&["ACL", "SETUSER", "default", "-command"]);
    let proxy = Proxy::start(&redis, &[]);
    for name in ["lib-name", "LIB-VER"] {
        let reply = proxy.client().command(&["CLIENT", "SETINFO", name, "a b"]);
        let expected =
            format!("-ERR {name} cannot contain spaces, newlines or special characters.\r\n");
        assert_same(&reply, expected.as_bytes(), &name);
    }
}

#[test]
fn random_names_cost_redis_a_bounded_number_of_questions() {
    let asked = Arc::new(AtomicUsize::new(0));
    let redis = FakeRedis::start_for_all({
        let asked = Arc::clone(&asked);
        move |request| {
            if let [command, _, _] = request
                && command == b"COMMAND"
            {
                asked.fetch_add(1, Ordering::SeqCst);
            }
            None
        }
    });
    let proxy = started(&redis);
    let start = std::time::Instant::now();
    let names: Vec<String> = (0..20_000)
        .map(|number| format!("random{number}"))
        .collect();
    let mut client = proxy.client();
    for some in names.chunks(1000) {
        client.send(
            some.iter()
                .flat_map(|name| request(&[name]))
                .collect::<Vec<_>>(),
        );
        for name in some {
            let expected = format!("-ERR unknown command '{name}', with args beginning with: \r\n");
            assert_same(&client.read_reply(), expected.as_bytes(), name);
        }
    }
    let seconds = start.elapsed().as_secs() as usize;
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= 128 * (seconds + 2), "{asked} in {seconds} s");
    assert_eq!(dedicated(&proxy), 1, "Redis answers there for itself");
}

#[test]
fn a_client_that_leaves_while_its_command_is_asked_for_is_gone() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
    redis.pause();
    for number in 0..10 {
        let mut client = proxy.client();
        client.send(format!("gone{number}\r\n"));
    }
    let mut half = proxy.client();
    half.send("half-closed\r\n");
    half.finish_sending();
    proxy.let_it_read();
    redis.resume();
    let expected = b"-ERR unknown command 'half-closed', with args beginning with: \r\n";
    assert_same(&half.read_to_end(), expected, &"half-closed");
    eventually("the others are gone", || {
        super::field(&proxy, "connected_clients") <= 1
    });
}
