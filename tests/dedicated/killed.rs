//! `CLIENT KILL` closes clients of the proxy, as Redis closes its own.

use super::twins::{Place, assert_same_at_redis, id, say};
use super::{OK, assert_answers, assert_x, await_clients, proxy_with_x, settled_clients};
use crate::common::{Client, Proxy, RedisServer, assert_same};

/// Waits until a client is closed. Returns whether it received nothing before.
#[track_caller]
fn is_closed(client: &mut Client) -> bool {
    client.read_to_end().is_empty()
}

/// A client of each kind: it only reads, waits in a command, is subscribed, has a name, is in a transaction.
fn crowd(place: &Place<'_>) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..5).map(|_| place.client()).collect();
    clients[1].send("BLPOP list 0\r\n");
    clients[0].await_blocked(1);
    say(&mut clients[0], "GET x");
    say(&mut clients[2], "SUBSCRIBE news");
    say(&mut clients[3], "CLIENT SETNAME named");
    say(&mut clients[4], "MULTI");
    clients
}

/// Asserts that what `kill` says of one of the crowd kills just these, whoever says it.
#[track_caller]
fn assert_kills(kill: impl Fn(&mut Client) -> String, whom: usize) {
    for state in ["PING", "WATCH key"] {
        assert_same_at_redis(|place| {
            let mut clients = crowd(place);
            let mut killer = place.client();
            say(&mut killer, state);
            let command = kill(&mut clients[whom]);
            let answer = say(&mut killer, &command);
            let again = say(&mut killer, &command);
            assert!(is_closed(&mut clients[whom]), "{command}");
            for (_, other) in clients
                .iter_mut()
                .enumerate()
                .filter(|&(index, _)| index != whom)
            {
                assert!(other.has_received_nothing(), "{command}");
            }
            assert_same(&say(&mut killer, "PING"), b"+PONG\r\n", &command);
            vec![answer, again]
        });
    }
}

#[test]
fn a_client_is_killed_by_its_address() {
    assert_kills(
        |client| format!("CLIENT KILL {}", client.local_address()),
        1,
    );
    assert_kills(
        |client| format!("CLIENT KILL ADDR {}", client.local_address()),
        0,
    );
}

#[test]
fn a_client_is_killed_by_its_number() {
    for whom in [0, 3] {
        assert_kills(|client| format!("CLIENT KILL ID {}", id(client)), whom);
    }
    assert_kills(
        |client| format!("CLIENT KILL ID {} TYPE normal USER default", id(client)),
        0,
    );
}

#[test]
fn subscribers_are_killed_by_their_type() {
    assert_kills(|_| "CLIENT KILL TYPE pubsub".to_owned(), 2);
}

#[test]
fn all_others_are_killed_and_a_client_spares_itself_unless_it_says_so() {
    for (command, spares) in [
        ("CLIENT KILL TYPE normal", true),
        ("CLIENT KILL USER default SKIPME yes", true),
        ("CLIENT KILL SKIPME no", false),
        ("CLIENT KILL TYPE normal SKIPME no", false),
    ] {
        for state in ["PING", "WATCH key"] {
            assert_same_at_redis(|place| {
                let mut clients = vec![place.client(), place.client()];
                say(&mut clients[0], "PING");
                clients[1].send("BLPOP list 0\r\n");
                clients[0].await_blocked(1);
                let mut killer = place.client();
                say(&mut killer, state);
                let count = say(&mut killer, command);
                for client in &mut clients {
                    assert!(is_closed(client), "{command}");
                }
                let end = match spares {
                    true => say(&mut killer, "PING"),
                    false => killer.read_to_end(),
                };
                vec![count, end]
            });
        }
    }
}

#[test]
fn nothing_is_done_for_a_client_behind_its_own_end() {
    for state in ["PING", "WATCH key"] {
        assert_same_at_redis(|place| {
            let mut client = place.client();
            say(&mut client, state);
            let number = id(&mut client);
            client.send(format!(
                "PING\r\nCLIENT KILL ID {number} SKIPME no\r\nSET after 1\r\nPING\r\n"
            ));
            vec![client.read_to_end(), place.client().get("after")]
        });
    }
}

#[test]
fn errors_are_those_of_redis() {
    for state in ["PING", "WATCH key"] {
        assert_same_at_redis(|place| {
            let mut client = place.client();
            say(&mut client, state);
            let commands = [
                "",
                " x",
                " ID",
                " ID x",
                " ID 0",
                " ID -1",
                " TYPE x",
                " USER nobody",
                " SKIPME x",
                " ADDR",
                " ADDR a LADDR",
                " MAXAGE 1",
                " NAME x",
                " ID 99998 ID 99999",
                " ID 99999 TYPE x",
                " 127.0.0.1:1",
                " LADDR 127.0.0.1:1",
                " TYPE master",
                " TYPE replica",
                " TYPE slave",
            ];
            let kill = |words| say(&mut client, &format!("CLIENT KILL{words}"));
            commands.into_iter().map(kill).collect()
        });
    }
}

#[test]
fn a_kill_in_a_transaction_is_done_when_that_is_executed() {
    assert_same_at_redis(|place| {
        let (mut killer, mut other) = (place.client(), place.client());
        let number = id(&mut other);
        let mut answers = Vec::new();
        let kill = format!("CLIENT KILL ID {number}");
        for end in ["DISCARD", "EXEC"] {
            for command in ["MULTI", "INCR a", &kill, "INCR a"] {
                answers.push(say(&mut killer, command));
            }
            answers.push(say(&mut other, "PING"));
            answers.push(say(&mut killer, end));
        }
        assert!(is_closed(&mut other));
        answers
    });
}

#[test]
fn whom_redis_forbids_it_kills_nobody() {
    let redis = RedisServer::start();
    let user = "ACL SETUSER app on >secret ~* &* +@all -client|kill -client|list";
    assert_answers(&mut redis.client(), user, OK);
    let flags = ["--redis_username", "app", "--redis_password", "secret"];
    let proxy = Proxy::start(&redis, &flags);
    let mut other = proxy.client();
    let number = id(&mut other);
    for state in ["PING", "WATCH key"] {
        let mut client = proxy.client();
        say(&mut client, state);
        for command in ["CLIENT LIST", &format!("CLIENT KILL ID {number}")] {
            let reply = say(&mut client, command);
            assert!(reply.starts_with(b"-NOPERM "), "{}", reply.escape_ascii());
        }
    }
    assert_answers(&mut other, "PING", b"+PONG\r\n");
}

#[test]
fn the_dedicated_connection_of_a_killed_client_is_closed() {
    let (redis, proxy) = proxy_with_x(&[]);
    let before = settled_clients(&redis);
    let mut waiting = proxy.client();
    let number = id(&mut waiting);
    waiting.send("BLPOP list 0\r\n");
    redis.await_blocked(1);
    let mut other = proxy.client();
    assert_answers(&mut other, &format!("CLIENT KILL ID {number}"), b":1\r\n");
    assert_same(&waiting.read_to_end(), b"", &"it was killed");
    await_clients(&redis, before);
    assert_answers(&mut other, "RPUSH list v", b":1\r\n");
    assert_answers(&mut other, "LLEN list", b":1\r\n");
    assert_x(&mut other);
}

#[test]
fn who_is_killed_and_does_not_notice_is_gone_at_once() {
    assert_same_at_redis(|place| {
        let hanging = crowd(place);
        let mut killer = place.client();
        let mut answers = vec![say(&mut killer, "CLIENT KILL SKIPME yes")];
        let info = String::from_utf8_lossy(&say(&mut killer, "INFO clients")).into_owned();
        let mut connected = info
            .lines()
            .filter(|line| line.starts_with("connected_clients:"));
        answers.push(connected.next().expect("a count").as_bytes().to_vec());
        drop(hanging);
        answers
    });
}
