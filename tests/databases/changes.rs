//! What changes in one database or in several, here or straight at Redis, and what is read in each then.

use crate::common::{Proxy, RedisServer, bulk, eventually};
use crate::{NIL, OK, assert_answers, client_in, straight_in};

/// Does something with databases 0 and 1, which both have `a` and `b` ("zero", "one"), and 2, which has nothing. All of it is
/// cached. Through the proxy, what is read next in each of them is as Redis has it; done straight at Redis, it soon is.
fn is_seen(database: u32, command: &str, answer: &str) {
    for (is_straight, flags) in [
        (false, &[][..]),
        (true, &[]),
        (false, &["--tracking", "off"]),
    ] {
        let redis = RedisServer::start();
        for (database, value) in [(0, "zero"), (1, "one")] {
            let mut straight = straight_in(&redis, database);
            assert_answers(&mut straight, &format!("MSET a {value} b {value}"), OK);
        }
        let proxy = Proxy::start(&redis, flags);
        let mut clients = [0, 1, 2].map(|database| client_in(&proxy, database));
        for client in &mut clients {
            for key in ["a", "b", "a", "b"] {
                client.get(key);
                client.command(&["STRLEN", key]);
            }
        }
        let mut writer = match is_straight {
            true => straight_in(&redis, database),
            false => client_in(&proxy, database),
        };
        assert_answers(&mut writer, command, answer);
        for (database, client) in (0..).zip(&mut clients) {
            let mut straight = straight_in(&redis, database);
            for line in ["GET a", "GET b", "STRLEN a"] {
                let words: Vec<_> = line.split(' ').collect();
                let expected = straight.command(&words);
                if is_straight {
                    let what = format!("{line} in {database} after {command}");
                    eventually(&what, || client.command(&words) == expected);
                }
                assert_answers(client, line, &expected);
            }
        }
    }
}

#[test]
fn a_write_in_one_database() {
    is_seen(1, "SET a new", "+OK\r\n");
    is_seen(1, "DEL a", ":1\r\n");
    is_seen(2, "SET a new", "+OK\r\n");
}

#[test]
fn swapdb() {
    is_seen(0, "SWAPDB 0 1", "+OK\r\n");
    is_seen(0, "SWAPDB 1 2", "+OK\r\n");
}

#[test]
fn flushdb_and_flushall() {
    is_seen(1, "FLUSHDB", "+OK\r\n");
    is_seen(0, "FLUSHDB ASYNC", "+OK\r\n");
    is_seen(2, "FLUSHALL", "+OK\r\n");
}

#[test]
fn a_move() {
    is_seen(0, "MOVE a 2", ":1\r\n");
    is_seen(1, "MOVE b 2", ":1\r\n");
    is_seen(0, "MOVE a 1", ":0\r\n");
}

#[test]
fn a_copy_to_another_database() {
    is_seen(0, "COPY a b DB 1 REPLACE", ":1\r\n");
    is_seen(1, "COPY a a DB 2", ":1\r\n");
}

#[test]
fn a_script_that_selects() {
    let script = "redis.call('select',1)redis.call('set','a','new')return(1)";
    is_seen(
        0,
        &format!("EVAL {script} 0").replace("')return", "')\treturn"),
        ":1\r\n",
    );
}

#[test]
fn what_was_read_is_fetched_anew_in_its_own_database() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut straight = straight_in(&redis, 5);
    assert_answers(&mut straight, "SET k old", OK);
    let mut client = client_in(&proxy, 5);
    for _ in 0..2 {
        assert_answers(&mut client, "GET k", bulk("old"));
    }
    let calls = redis.calls("get");
    assert_answers(&mut straight, "SET k new", OK);
    eventually("it is fetched anew", || redis.calls("get") == calls + 1);
    eventually("it is there", || client.get("k") == bulk("new"));
    assert_eq!(redis.calls("get"), calls + 1);
    assert_answers(&mut client_in(&proxy, 4), "GET k", NIL);
}
