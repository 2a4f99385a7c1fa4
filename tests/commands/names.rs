//! Names that no command has.

use super::{Innocents, OK, dedicated};
use crate::common::{Client, Proxy, RedisServer, assert_same, bulk, request};

/// What leaves state on a connection, blocks it or ends it, with arguments.
const STATEFUL: &[&[&str]] = &[
    &["ASKING"],
    &["AUTH", "default", "x"],
    &["BLPOP", "list", "0"],
    &["BRPOPLPUSH", "list", "other", "0"],
    &["DEBUG", "SLEEP", "1"],
    &["DISCARD"],
    &["EXEC"],
    &["HELLO", "3"],
    &["MONITOR"],
    &["MULTI"],
    &["PSUBSCRIBE", "*"],
    &["PSYNC", "?", "-1"],
    &["QUIT"],
    &["READONLY"],
    &["REPLCONF", "listening-port", "1"],
    &["RESET"],
    &["SELECT", "5"],
    &["SHUTDOWN", "NOSAVE"],
    &["SSUBSCRIBE", "channel"],
    &["SUBSCRIBE", "channel"],
    &["SYNC"],
    &["UNSUBSCRIBE"],
    &["WAIT", "1", "0"],
    &["WATCH", "key"],
    &["XREAD", "BLOCK", "0", "STREAMS", "stream", "$"],
];

/// The same of commands with subcommands.
const STATEFUL_SUBCOMMANDS: &[&[&str]] = &[
    &["CLIENT", "CACHING", "YES"],
    &["CLIENT", "KILL", "TYPE", "normal"],
    &["CLIENT", "NO-EVICT", "ON"],
    &["CLIENT", "PAUSE", "60000"],
    &["CLIENT", "REPLY", "OFF"],
    &["CLIENT", "SETNAME", "name"],
    &["CLIENT", "TRACKING", "OFF"],
    &["FUNCTION", "KILL"],
    &["SCRIPT", "DEBUG", "YES"],
];

/// Ways to write a name with a byte in it that no command has: with each such byte at each place, and with a
/// NUL and any of so many endings, of which some have the hash of the name.
fn odd(name: &str) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    for byte in (0..=b' ').chain([b'|', 0x7f]) {
        for at in 0..=name.len() {
            let (head, tail) = name.as_bytes().split_at(at);
            names.push([head, &[byte], tail].concat());
        }
    }
    for number in 0..=400 {
        names.push(format!("{name}\0{number}").into_bytes());
        names.push(format!("{}\0{number}", name.to_lowercase()).into_bytes());
    }
    names
}

/// Sends requests in one go and asserts that each is answered that there is no such command.
#[track_caller]
fn assert_unknown(client: &mut Client, requests: &[Vec<Vec<u8>>], error: &[u8]) {
    for some in requests.chunks(500) {
        client.send(
            some.iter()
                .flat_map(|arguments| request(arguments))
                .collect::<Vec<_>>(),
        );
        for arguments in some {
            let reply = client.read_reply();
            let name = arguments[0].escape_ascii();
            assert!(reply.starts_with(error), "{name}: {}", reply.escape_ascii());
        }
    }
}

fn owned(arguments: &[&str]) -> Vec<Vec<u8>> {
    arguments
        .iter()
        .map(|argument| argument.as_bytes().to_vec())
        .collect()
}

#[test]
fn a_command_behind_an_odd_byte_does_nothing_to_others() {
    let redis = RedisServer::start_with(&["--enable-debug-command", "yes"]);
    let proxy = Proxy::start(&redis, &[]);
    let mut innocents = Innocents::start(&redis, &proxy);
    for command in STATEFUL {
        let requests: Vec<_> = odd(command[0])
            .into_iter()
            .map(|name| [vec![name], owned(&command[1..])].concat())
            .collect();
        assert_unknown(&mut proxy.client(), &requests, b"-ERR unknown command '");
        innocents.assert_unharmed(&redis, command[0]);
    }
    for command in STATEFUL_SUBCOMMANDS {
        let requests: Vec<_> = odd(command[1])
            .into_iter()
            .map(|name| [owned(&command[..1]), vec![name], owned(&command[2..])].concat())
            .collect();
        assert_unknown(&mut proxy.client(), &requests, b"-ERR unknown subcommand '");
        let requests: Vec<_> = odd(command[0])
            .into_iter()
            .map(|name| [vec![name], owned(&command[1..])].concat())
            .collect();
        assert_unknown(&mut proxy.client(), &requests, b"-ERR unknown command '");
        innocents.assert_unharmed(&redis, command[1]);
    }
    innocents.assert_told_of_changes(&redis);
    assert_eq!(dedicated(&proxy), 0, "nobody needed one");
}

#[test]
fn a_command_with_a_byte_more_does_nothing_to_others() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut innocents = Innocents::start(&redis, &proxy);
    for command in [STATEFUL, STATEFUL_SUBCOMMANDS].concat() {
        let at = usize::from(STATEFUL_SUBCOMMANDS.contains(&command));
        let mut clients = [proxy.client(), redis.client()];
        for byte in (0x21..0x7f)
            .chain([0x80, 0xff])
            .filter(|byte| *byte != b'|')
        {
            let mut arguments = owned(command);
            arguments[at].push(byte);
            let [reply, expected] = clients.each_mut().map(|client| client.command(&arguments));
            assert_same(&reply, &expected, &arguments[at].escape_ascii().to_string());
            assert!(
                reply.starts_with(b"-ERR unknown "),
                "{}",
                reply.escape_ascii()
            );
        }
        innocents.assert_unharmed(&redis, command[at]);
    }
    innocents.assert_told_of_changes(&redis);
}

#[test]
fn the_error_is_that_of_redis() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let long = "n".repeat(300);
    let mut shared = [proxy.client(), redis.client()];
    let mut dedicated = [proxy.client(), redis.client()];
    for client in &mut dedicated {
        assert_same(&client.command(&["WATCH", "k"]), OK, &"WATCH");
    }
    for arguments in [
        &["\0", "a"][..],
        &["\t\0", "a"],
        &["h\r\n\0\u{ff}", "a\0b"],
        &["GET|SET", "a\0b", "c"],
        &["GET\t", "a"],
        &["GET ", "\0", "c"],
        &[" GET", ""],
        &["", "a"],
        &["a|b", "c"],
        &["CLIENT|TRACKING", "ON"],
        &["client|list"],
        &["\x7f", "b\r\nc"],
        &["new\r\nline\t", "a\nb"],
        &[&format!("{long}\0"), &long],
        &["a\t", &long[..126], "b"],
        &["a\t", &long[..127], "b"],
        &["a\t", &long[..128], "b"],
        &["client", ""],
        &["OBJECT", "h\r\n\0\u{ff} $-1\r\n", "x\0y"],
        &["Client", "LIST ", "x"],
        &["CLIENT", "a|b"],
        &["CLIENT", &format!("\t{long}")],
        &["CONFIG", "\r\n"],
        &["XINFO", "STREAM\x1f", "x"],
        &["CLIENT", "NOPE"],
        &["COMMAND", "nope", "x"],
        &["nope", "a", "b"],
        &["n\u{f6}pe", "\u{e4}"],
    ] {
        for clients in [&mut shared, &mut dedicated] {
            assert_same_error(clients, arguments);
        }
    }
    // What stands before the NUL is the name of no command here, and might be.
    for arguments in [
        &["no\0name"][..],
        &["no\0name", "a\0b", "c"],
        &["CLIENT", "no\0name"],
        &["OBJECT", "no\0name", "x"],
    ] {
        assert_same_error(&mut shared, arguments);
    }
    assert_eq!(super::dedicated(&proxy), 1, "the one that WATCH needed");
}

/// Asserts that a request gets the same error of two clients, which says that there is no such command.
#[track_caller]
fn assert_same_error(clients: &mut [Client; 2], arguments: &[&str]) {
    let [reply, expected] = clients.each_mut().map(|client| client.command(arguments));
    assert_same(&reply, &expected, &arguments);
    assert!(
        reply.starts_with(b"-ERR unknown "),
        "{}",
        reply.escape_ascii()
    );
}

#[test]
fn the_error_shows_what_stands_before_a_nul() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    for on_dedicated in [false, true] {
        let blank = if on_dedicated { " " } else { "" };
        let expected =
            format!("-ERR unknown command 'MULTI{blank}', with args beginning with: 'a' \r\n");
        let reply = client.command(&["MULTI\0x", "a\0b"]);
        assert_same(&reply, expected.as_bytes(), &"MULTI");
        let expected = format!("-ERR unknown subcommand 'LIST{blank}'. Try CLIENT HELP.\r\n");
        let reply = client.command(&["client", "LIST\0x"]);
        assert_same(&reply, expected.as_bytes(), &"LIST");
        assert_same(&client.command(&["WATCH", "k"]), OK, &"WATCH");
    }
}

#[test]
fn an_odd_name_is_nothing_on_a_dedicated_connection_either() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    assert_same(&client.command(&["WATCH", "key"]), OK, &"WATCH");
    let mut requests = Vec::new();
    for name in odd("MULTI") {
        requests.push(vec![name]);
    }
    for name in odd("REPLY") {
        requests.push(vec![b"CLIENT".to_vec(), name, b"OFF".to_vec()]);
    }
    assert_unknown(&mut client, &requests, b"-ERR unknown ");
    // In a transaction it is an error that EXEC tells of.
    assert_same(&client.command(&["MULTI"]), OK, &"MULTI");
    assert_unknown(
        &mut client,
        &[vec![b"GET\0".to_vec(), b"k".to_vec()]],
        b"-ERR unknown command 'GET ', ",
    );
    let reply = client.command(&["EXEC"]);
    assert!(
        reply.starts_with(b"-EXECABORT "),
        "{}",
        reply.escape_ascii()
    );
}

#[test]
fn words_among_the_arguments_are_taken_as_redis_takes_them() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut innocents = Innocents::start(&redis, &proxy);
    // It blocks: over a shared connection all others would wait for it.
    let mut blocked = proxy.client();
    blocked.send(request(&[
        "XREAD", "bLocK\0x", "0", "STREAMS", "stream", "$",
    ]));
    innocents.assert_unharmed(&redis, "XREAD");
    // It waits for what is added after it.
    redis.await_blocked(1);
    let mut client = proxy.client();
    client.command(&["XADD", "stream", "1-1", "field", "value"]);
    assert!(
        blocked
            .read_reply()
            .starts_with(b"*1\r\n*2\r\n$6\r\nstream\r\n")
    );
    // It writes what is cached.
    client.command(&["RPUSH", "list", "1"]);
    assert_same(
        &client.get("sorted"),
        b"$-1\r\n",
        &"a key that is not there",
    );
    assert_same(
        &client.command(&["SORT", "list", "Store\0x", "sorted"]),
        b":1\r\n",
        &"SORT",
    );
    assert!(client.get("sorted").starts_with(b"-WRONGTYPE "));
    // It silences its client, for one reply.
    let mut quiet = proxy.client();
    quiet.send(request(&["CLIENT", "REPLY", "SKIP\0"]));
    quiet.send(request(&["ECHO", "skipped"]));
    assert_same(&quiet.command(&["ECHO", "heard"]), &bulk("heard"), &"ECHO");
}
