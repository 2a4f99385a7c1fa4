//! A `SELECT` that Redis refuses: the client hears its words and stays where it is, and nothing is ever executed in another
//! database than the one that it was meant for.

use crate::common::{Client, Proxy, RedisServer, assert_same, bulk, eventually};
use crate::{NIL, OK, assert_answers, client_in, straight_in};

/// Sends the lines of a session at once, to the proxy and straight to a Redis, and asserts that all that comes back is the
/// same.
#[track_caller]
fn assert_as_at(redis: &RedisServer, proxy: &Proxy, session: &[&str]) {
    let lines = session.join("\r\n") + "\r\nQUIT\r\n";
    let [actual, expected] = [proxy.client(), redis.client()].map(|mut client| {
        client.send(&lines);
        client.read_to_end()
    });
    assert_same(&actual, &expected, &session);
}

#[test]
fn an_index_out_of_range_gets_the_words_of_redis() {
    for databases in ["1", "3"] {
        let [redis, other] = [(); 2].map(|()| RedisServer::start_with(&["--databases", databases]));
        let proxy = Proxy::start(&redis, &[]);
        for index in [
            "1",
            "3",
            "16",
            "99",
            "2147483647",
            "2147483648",
            "-1",
            "x",
            "01",
            "1 2",
            "",
        ] {
            let select = format!("SELECT {index}");
            for protocol in ["HELLO 2", "HELLO 3"] {
                let rest = ["SET k 1", "GET k", &select, "GET k", "DEL k"];
                let session = [&["PING", &select], &rest[..]].concat();
                assert_as_at(&other, &proxy, &session);
                // The greeting names a connection.
                let mut clients = [proxy.client(), other.client()];
                for client in &mut clients {
                    client.command(&protocol.split(' ').collect::<Vec<_>>());
                }
                for line in &session {
                    let words: Vec<_> = line.split(' ').collect();
                    let [actual, expected] =
                        clients.each_mut().map(|client| client.command(&words));
                    assert_same(&actual, &expected, &line);
                }
            }
        }
    }
}

/// What a client gets for a command that is not executed: an error, or its end.
fn is_refused(client: &mut Client, command: &str) -> bool {
    client.send(format!("{command}\r\n"));
    client
        .reply_or_end()
        .is_none_or(|reply| reply.starts_with(b"-"))
}

#[test]
fn a_user_without_the_right_to_select_hears_that() {
    let redis = RedisServer::start();
    let mut admin = redis.client();
    assert_answers(
        &mut admin,
        "ACL SETUSER app on >word ~* &* +@all -select",
        OK,
    );
    let login = ["--redis_username", "app", "--redis_password", "word"];
    let proxy = Proxy::start(&redis, &login);
    let mut client = proxy.client();
    let mut straight = redis.client();
    assert_answers(&mut straight, "AUTH app word", OK);
    let words = straight.command(&["SELECT", "1"]);
    assert!(words.starts_with(b"-NOPERM"));
    assert_answers(&mut client, "SELECT 1", &words);
    assert_answers(&mut client, "SET k zero", OK);
    assert_answers(&mut admin, "GET k", bulk("zero"));
    // Once it may, it does.
    assert_answers(&mut admin, "ACL SETUSER app +select", OK);
    assert_answers(&mut client, "SELECT 1", OK);
    assert_answers(&mut client, "SET k one", OK);
    assert_answers(&mut admin, "GET k", bulk("zero"));
    assert_answers(&mut straight_in(&redis, 1), "GET k", bulk("one"));
}

#[test]
fn nothing_is_executed_elsewhere_when_the_right_is_taken_away_and_connections_break() {
    let redis = RedisServer::start();
    let mut admin = redis.client();
    assert_answers(&mut admin, "ACL SETUSER app on >word ~* &* +@all", OK);
    let login = ["--redis_username", "app", "--redis_password", "word"];
    let proxy = Proxy::start(&redis, &login);
    let mut clients: Vec<_> = (0..8).map(|_| client_in(&proxy, 1)).collect();
    assert_answers(&mut clients[0], "SET before 1", OK);
    assert_answers(&mut admin, "ACL SETUSER app -select", OK);
    // The connection is still where it was.
    assert_answers(&mut clients[0], "SET then 1", OK);
    for client in &mut clients[1..] {
        client.send("SET lost 1\r\nGET lost\r\nINCR lost\r\n");
        admin.command(&["CLIENT", "KILL", "USER", "app"]);
        client.send("SET lost 2\r\n");
        while client
            .reply_or_end()
            .is_some_and(|reply| !reply.starts_with(b"-"))
        {}
    }
    let mut late = clients.swap_remove(0);
    assert!(is_refused(&mut late, "SET lost 3"));
    assert_answers(&mut admin, "DBSIZE", ":0\r\n");
    // Who never left the first database is served.
    eventually("it is served", || {
        proxy.client().command(&["SET", "here", "1"]) == OK
    });
    assert_answers(&mut admin, "KEYS *", "*1\r\n$4\r\nhere\r\n");
}

#[test]
fn nothing_is_executed_elsewhere_when_another_redis_has_fewer_databases() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut clients: Vec<_> = (0..4).map(|_| client_in(&proxy, 9)).collect();
    for client in &mut clients {
        assert_answers(client, "SET k nine", OK);
    }
    redis.stop();
    redis.start_again_with(&["--databases", "2"]);
    eventually("Redis is reached", || proxy.client().get("x") == NIL);
    for client in &mut clients {
        let words = redis.client().command(&["SELECT", "9"]);
        client.send("SET k nine\r\nGET k\r\n");
        if let Some(reply) = client.reply_or_end() {
            assert_same(&reply, &words, &"SET");
        }
    }
    for database in [0, 1] {
        assert_answers(&mut straight_in(&redis, database), "DBSIZE", ":0\r\n");
    }
}

#[test]
fn a_link_that_breaks_comes_back_in_its_database() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut clients = [1, 2].map(|database| client_in(&proxy, database));
    let mut admin = redis.client();
    for round in 0..8 {
        for (at, client) in clients.iter_mut().enumerate() {
            assert_answers(client, &format!("SET k {at}:{round}"), OK);
            assert_answers(client, "GET k", bulk(format!("{at}:{round}")));
        }
        admin.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        for (at, client) in clients.iter_mut().enumerate() {
            assert_answers(client, "GET k", bulk(format!("{at}:{round}")));
            // This is not cached. A write on a connection whose end has not been noticed yet would end its client.
            assert_answers(client, "DBSIZE", ":1\r\n");
        }
    }
    assert_answers(&mut admin, "DBSIZE", ":0\r\n");
}
