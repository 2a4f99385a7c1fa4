//! MULTI, EXEC and WATCH, the cache, and clients that leave in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{
    GoOn, OK, QUEUED, assert_answers, assert_as_at_redis, assert_x, await_clients, proxy_with_x,
    settled_clients,
};
use crate::common::{Client, assert_same, bulk, eventually};

#[test]
fn transactions_are_answered_as_at_redis() {
    let (_redis, proxy) = proxy_with_x(&[]);
    for session in [
        &[
            "MULTI", "EXEC", "MULTI", "DISCARD", "EXEC", "DISCARD", "QUIT",
        ][..],
        &["MULTI", "MULTI", "SET a 1", "EXEC", "GET a", "QUIT"],
        &["MULTI", "GET", "SET a 1", "EXEC", "GET a", "QUIT"],
        &["MULTI", "NO", "EXEC", "EXEC", "QUIT"],
        &["MULTI", "WATCH a", "EXEC", "WATCH", "UNWATCH", "QUIT"],
        &[
            "MULTI",
            "LPUSH l 1",
            "INCR l",
            "LRANGE l 0 -1",
            "EXEC",
            "GET l",
            "QUIT",
        ],
        &[
            "MULTI", "SELECT 3", "SET a 3", "EXEC", "GET a", "SELECT 0", "GET a", "QUIT",
        ],
        &[
            "MULTI",
            "BLPOP none 0",
            "PING",
            "ECHO hello",
            "CLIENT GETNAME",
            "EXEC",
            "QUIT",
        ],
        &[
            "MULTI",
            "SUBSCRIBE a",
            "PING",
            "EXEC",
            "PING",
            "UNSUBSCRIBE a",
            "GET a",
            "QUIT",
        ],
        &[
            "MULTI",
            "EVAL \"return redis.call('SET','e','1')\" 0",
            "EXEC",
            "GET e",
            "QUIT",
        ],
        &[
            "WATCH w", "SET w 1", "MULTI", "SET w 2", "EXEC", "GET w", "DEL w", "QUIT",
        ],
        &["EXEC", "DISCARD", "UNWATCH", "MULTI x", "EXEC", "QUIT"],
        &["MULTI", "RESET", "EXEC", "QUIT"],
        &["MULTI", "QUIT", "PING"],
    ] {
        assert_as_at_redis(&proxy, session);
        proxy.client().command(&["FLUSHALL"]);
    }
}

#[test]
fn what_exec_has_written_is_read_by_everybody() {
    for tracking in ["on", "off"] {
        write_and_read(tracking);
    }
}

fn write_and_read(tracking: &str) {
    let (_redis, proxy) = proxy_with_x(&["--tracking", tracking]);
    let going = AtomicBool::new(true);
    thread::scope(|scope| {
        let go_on = GoOn(&going);
        // Readers bring the key back into the cache all the time.
        for _ in 0..2 {
            scope.spawn(|| {
                let mut reader = proxy.client();
                while going.load(Ordering::Relaxed) {
                    reader.send("GET x\r\nGET x\r\nMGET x y\r\n");
                    reader.read_replies(3);
                }
            });
        }
        let mut writer = proxy.client();
        let mut other = proxy.client();
        for number in 0..300 {
            let value = number.to_string();
            writer.send(format!(
                "MULTI\r\nSET x {value}\r\nMSET y {value} z 1\r\nEXEC\r\n"
            ));
            writer.read_replies(4);
            assert_same(&other.get("x"), &bulk(&value), &"x, another client");
            assert_same(&other.get("y"), &bulk(&value), &"y, another client");
            assert_same(&writer.get("x"), &bulk(&value), &"the same client");
        }
        drop(go_on);
    });
}

#[test]
fn every_kind_of_write_on_an_own_connection_is_seen() {
    // Without it, nobody but the proxy itself knows of the write.
    let (redis, proxy) = proxy_with_x(&["--tracking", "off"]);
    let mut own = proxy.client();
    let mut other = proxy.client();
    assert_answers(&mut own, "WATCH nothing", OK);
    for (write, value) in [
        ("SET x 1", Some("1")),
        ("APPEND x 2", Some("12")),
        ("INCR x", Some("13")),
        ("SETRANGE x 0 9", Some("93")),
        ("MSET y 1 x 2", Some("2")),
        ("RENAME x gone", None),
        ("COPY gone x", Some("2")),
        ("GETSET x 5", Some("5")),
        ("GETDEL x", None),
        ("EVAL redis.call('SET','x','7') 0", Some("7")),
        ("BITOP NOT x none", None),
        ("RESTORE x 0 nothing REPLACE", None),
        ("SET x 8", Some("8")),
        ("PEXPIRE x 0", None),
        ("SET x 9", Some("9")),
        ("FLUSHDB", None),
        ("DEL x", None),
        ("SET x 10", Some("10")),
        ("SWAPDB 0 1", None),
        ("SWAPDB 0 1", Some("10")),
    ] {
        let arguments: Vec<_> = write.split(' ').collect();
        own.command(&arguments);
        let expected = value.map_or(b"$-1\r\n".to_vec(), bulk);
        assert_same(&other.get("x"), &expected, &write);
    }
    // What a HyperLogLog holds is for Redis to say.
    for write in ["PFADD x a", "PFADD x b", "PFMERGE x none"] {
        own.command(&write.split(' ').collect::<Vec<_>>());
        let expected = redis.client().get("x");
        assert_same(&other.get("x"), &expected, &write);
    }
}

#[test]
fn a_write_of_another_breaks_a_watch() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut watching = proxy.client();
    let by_redis = || assert_answers(&mut redis.client(), "SET x redis", OK);
    let by_proxy = || assert_answers(&mut proxy.client(), "SET x proxy", OK);
    let by_transaction = || {
        let mut client = proxy.client();
        client.send("MULTI\r\nSET x transaction\r\nEXEC\r\n");
        client.read_replies(3);
    };
    let disturb: [(&dyn Fn(), &str); 3] = [
        (&by_redis, "redis"),
        (&by_proxy, "proxy"),
        (&by_transaction, "transaction"),
    ];
    for (write, value) in disturb {
        assert_answers(&mut watching, "WATCH x", OK);
        watching.get("x");
        write();
        assert_answers(&mut watching, "MULTI", OK);
        assert_answers(&mut watching, "SET x mine", QUEUED);
        assert_answers(&mut watching, "EXEC", b"*-1\r\n");
        assert_same(&watching.get("x"), &bulk(value), &"the other's value");
    }
    assert_answers(&mut watching, "WATCH x", OK);
    by_proxy();
    assert_answers(&mut watching, "UNWATCH", OK);
    watching.send("MULTI\r\nSET x mine\r\nEXEC\r\n");
    assert_same(
        &watching.read_replies(3),
        b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n",
        &"unwatched",
    );
}

#[test]
fn a_client_that_leaves_within_a_multi_leaves_nothing_behind() {
    let (redis, proxy) = proxy_with_x(&[]);
    let at_redis = settled_clients(&redis);
    let open_files = proxy.open_files();
    for _ in 0..20 {
        let mut client = proxy.client();
        client.send("WATCH x\r\nMULTI\r\nSET x no\r\nSET y no\r\n");
        client.read_replies(4);
    }
    // Some that leave without having read, which resets the connection.
    for _ in 0..20 {
        let mut client = proxy.client();
        client.send("MULTI\r\nSET y no\r\n");
        eventually("a reply is there", || !client.has_received_nothing());
    }
    // Some that leave before Redis has answered, or was asked.
    for session in [
        "MULTI\r\nSET y no\r\n",
        "MULTI\r\n",
        "BLPOP l 0\r\n",
        "SELECT 3\r\nWATCH x\r\nMULTI",
    ] {
        proxy.client().send(session);
    }
    await_clients(&redis, at_redis);
    eventually("the proxy has closed its sockets", || {
        proxy.open_files() <= open_files
    });
    assert_x(&mut proxy.client());
    assert_same(&redis.client().get("y"), b"$-1\r\n", &"nothing was written");
}

#[test]
fn a_client_that_sends_no_more_gets_what_it_is_owed() {
    let (redis, proxy) = proxy_with_x(&[]);
    let at_redis = settled_clients(&redis);
    let mut client = proxy.client();
    client.send("GET x\r\nMULTI\r\nGET x\r\nSET y 1\r\nEXEC\r\nGET y\r\n");
    client.finish_sending();
    let expected =
        b"$4\r\ntrue\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$4\r\ntrue\r\n+OK\r\n$1\r\n1\r\n";
    assert_same(&client.read_to_end(), expected, &"all replies");
    drop(client);
    await_clients(&redis, at_redis);
}

#[test]
fn a_long_transaction_passes() {
    let (_redis, proxy) = proxy_with_x(&[]);
    let mut client = proxy.client();
    let count = 20_000;
    let value = "v".repeat(200);
    let mut sender = client.second_handle();
    thread::scope(|scope| {
        scope.spawn(move || {
            sender.send("MULTI\r\n");
            for number in 0..count {
                sender.send(format!("SET key:{number} {value}\r\nGET key:{number}\r\n"));
            }
            sender.send("EXEC\r\nPING\r\n");
        });
        assert_same(&client.read_reply(), OK, &"MULTI");
        for _ in 0..2 * count {
            assert_same(&client.read_reply(), QUEUED, &"a command");
        }
        let results = client.read_reply();
        assert!(results.starts_with(format!("*{}\r\n+OK\r\n$200\r\nv", 2 * count).as_bytes()));
        assert_same(&client.read_reply(), super::PONG, &"PING");
    });
    assert_x(&mut proxy.client());
}

#[test]
fn what_a_transaction_has_written_makes_its_next_commands_no_slower() {
    let (_redis, proxy) = proxy_with_x(&[]);
    let cost_of_commands = |client: &mut Client| {
        let before = proxy.cpu_time_of_the_loop();
        for _ in 0..20 {
            client.send("GET x\r\n".repeat(100));
            client.read_replies(100);
        }
        proxy.cpu_time_of_the_loop() - before
    };
    let mut client = proxy.client();
    assert_answers(&mut client, "MULTI", OK);
    let before = cost_of_commands(&mut client);
    for number in 0..1000 {
        client.send(format!("SET key:{number} 1\r\n"));
    }
    client.read_replies(1000);
    let after = cost_of_commands(&mut client);
    assert!(
        after < 3 * before + Duration::from_millis(200),
        "{after:?} instead of {before:?}"
    );
}
