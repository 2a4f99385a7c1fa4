//! `CLIENT LIST` and `CLIENT INFO` show the clients of the proxy, in Redis's form, whatever they are at.

use super::twins::{Place, assert_same_at_redis, field, id, lines, say};
use super::{OK, assert_answers, proxy_with_x};
use crate::common::{Client, assert_same};

/// What is the same at Redis of a line about a client.
fn comparable(line: &str) -> Vec<u8> {
    const SAME: [&str; 10] = [
        "name", "flags", "db", "sub", "psub", "ssub", "multi", "cmd", "user", "resp",
    ];
    let values = SAME.map(|name| format!("{name}={}", field(line, name)));
    let names = line.split(' ').filter_map(|field| field.split('=').next());
    let names: Vec<&str> = names.collect();
    format!("{} | {}", values.join(" "), names.join(" ")).into_bytes()
}

/// The line about a client in a list, with what must hold of it.
#[track_caller]
fn line_of(list: &[u8], number: i64, client: &Client) -> String {
    let listed = lines(list);
    let mut found = listed
        .iter()
        .filter(|line| field(line, "id") == number.to_string());
    let line = found
        .next()
        .unwrap_or_else(|| panic!("no {number}: {listed:#?}"));
    assert_eq!(found.next(), None);
    assert_eq!(field(line, "addr"), client.local_address().to_string());
    line.clone()
}

/// What leads a client into each state, and how many replies it gets.
const STATES: &[&[&str]] = &[
    &["PING"],
    &["SET x 1"],
    &["GET x"],
    &["CLIENT SETNAME somebody"],
    &["CLIENT SETNAME somebody", "CLIENT SETNAME other", "WATCH x"],
    &["WATCH x", "CLIENT SETNAME late"],
    &["WATCH x", "UNWATCH", "CLIENT SETNAME late"],
    &["MULTI", "EXEC", "CLIENT SETNAME late", "GET x"],
    &["SELECT 3"],
    &["MULTI"],
    &["MULTI", "SET a 1", "GET a"],
    &["MULTI", "SET a 1", "EXEC"],
    &["SUBSCRIBE a"],
    &["PSUBSCRIBE a*"],
    &["SUBSCRIBE a", "UNSUBSCRIBE a"],
    &["MONITOR"],
    &["HELLO 3"],
    &["HELLO 3 SETNAME three", "WATCH x"],
    &["WATCH x", "HELLO 3"],
    &["CLIENT TRACKING ON"],
    &["CLIENT TRACKING ON BCAST"],
    &["CLIENT NO-EVICT ON"],
    &["CLIENT NO-EVICT OFF"],
    &[
        "CLIENT SETNAME gone",
        "CLIENT TRACKING ON",
        "MULTI",
        "RESET",
    ],
    &["CLIENT SETNAME gone", "HELLO 3", "RESET"],
    &["SELECT 3", "RESET"],
    &["MONITOR", "RESET"],
];

#[test]
fn a_client_is_listed_in_the_state_in_which_redis_would_show_it() {
    assert_same_at_redis(|place| {
        let mut all = Vec::new();
        for states in STATES {
            let mut client = place.client();
            let number = id(&mut client);
            for state in *states {
                say(&mut client, state);
            }
            for lister in ["PING", "WATCH key"] {
                let mut other = place.client();
                say(&mut other, lister);
                for command in ["CLIENT LIST", &format!("CLIENT LIST ID {number}")] {
                    let list = say(&mut other, command);
                    all.push(comparable(&line_of(&list, number, &client)));
                }
            }
        }
        all
    });
}

#[test]
fn a_client_sees_itself_as_others_do() {
    assert_same_at_redis(|place| {
        let mut all = Vec::new();
        for states in STATES {
            // Where anything can be asked.
            if ["MONITOR", "MULTI", "SUBSCRIBE a", "PSUBSCRIBE a*"].contains(&states[0]) {
                continue;
            }
            let mut client = place.client();
            let number = id(&mut client);
            for state in *states {
                say(&mut client, state);
            }
            for command in ["CLIENT INFO", "CLIENT LIST"] {
                let reply = say(&mut client, command);
                all.push(reply[..1].to_vec());
                all.push(comparable(&line_of(&reply, number, &client)));
            }
        }
        all
    });
}

/// A client that is blocked, one that is subscribed, and one at rest.
fn crowd(place: &Place<'_>) -> (Vec<Client>, Vec<i64>) {
    let mut clients: Vec<Client> = (0..3).map(|_| place.client()).collect();
    let numbers = clients.iter_mut().map(id).collect();
    clients[0].send("BLPOP list 0\r\n");
    clients[1].await_blocked(1);
    say(&mut clients[1], "SUBSCRIBE news");
    (clients, numbers)
}

#[test]
fn those_are_listed_who_are_asked_for() {
    for state in ["PING", "WATCH key"] {
        assert_same_at_redis(|place| {
            let (clients, numbers) = crowd(place);
            let mut other = place.client();
            say(&mut other, state);
            let [blocked, subscribed, idle] = numbers[..] else {
                panic!("three numbers");
            };
            let mut all = Vec::new();
            for words in [
                format!("ID {idle} {blocked}"),
                format!("ID {subscribed} {subscribed} 99999"),
                "ID 99999".to_owned(),
                "TYPE pubsub".to_owned(),
                "TYPE master".to_owned(),
                "TYPE replica".to_owned(),
            ] {
                let list = say(&mut other, &format!("CLIENT LIST {words}"));
                // By their positions, as the numbers differ.
                let position = |line: &String| {
                    let known = numbers
                        .iter()
                        .position(|n| field(line, "id") == n.to_string());
                    format!("{known:?}")
                };
                let positions: Vec<_> = lines(&list).iter().map(position).collect();
                all.push(positions.join(" ").into_bytes());
            }
            let normal = lines(&say(&mut other, "CLIENT LIST TYPE normal"));
            for (number, is_listed) in [(blocked, true), (subscribed, false), (idle, true)] {
                let found = normal
                    .iter()
                    .any(|line| field(line, "id") == number.to_string());
                assert_eq!(found, is_listed);
            }
            for wrong in [
                "x",
                "ID",
                "ID x",
                "ID 1 x",
                "TYPE x",
                "TYPE",
                "TYPE normal ID 1",
            ] {
                all.push(say(&mut other, &format!("CLIENT LIST {wrong}")));
            }
            drop(clients);
            all
        });
    }
}

#[test]
fn only_clients_of_the_proxy_are_listed_in_the_order_in_which_they_came() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut straight = redis.client();
    assert_answers(&mut straight, "CLIENT SETNAME straight", OK);
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    let numbers: Vec<String> = clients
        .iter_mut()
        .map(|client| id(client).to_string())
        .collect();
    clients[1].send("BLPOP list 0\r\n");
    assert_answers(&mut clients[3], "WATCH x", OK);
    redis.await_blocked(1);
    for lister in [0, 3] {
        let listed = lines(&say(&mut clients[lister], "CLIENT LIST"));
        let ids: Vec<&str> = listed.iter().map(|line| field(line, "id")).collect();
        assert_eq!(ids, numbers);
        assert_eq!(field(&listed[1], "flags"), "b");
        assert_eq!(field(&listed[1], "cmd"), "blpop");
    }
    drop(clients.remove(1));
    crate::common::eventually("it is listed no more", || {
        lines(&say(&mut clients[0], "CLIENT LIST")).len() == 3
    });
}

#[test]
fn the_user_of_a_client_is_the_one_that_it_is_at_redis() {
    for login in ["AUTH app secret", "HELLO 2 AUTH app secret"] {
        assert_same_at_redis(|place| {
            let setuser = "ACL SETUSER app on >secret ~* &* +@all";
            assert_answers(&mut place.redis.client(), setuser, OK);
            let (mut client, mut other) = (place.client(), place.client());
            let number = id(&mut client);
            say(&mut client, login);
            assert_eq!(id(&mut client), number);
            let list = say(&mut other, "CLIENT LIST");
            let mut all = vec![comparable(&line_of(&list, number, &client))];
            all.push(say(&mut other, "CLIENT KILL USER app"));
            assert_same(&client.read_to_end(), b"", &login);
            all
        });
    }
}

#[test]
fn statistics_are_the_proxys_on_every_connection() {
    let (redis, proxy) = proxy_with_x(&["--slowlog_slower_than", "0"]);
    for command in ["CONFIG SET slowlog-log-slower-than -1", "SLOWLOG RESET"] {
        assert_answers(&mut redis.client(), command, OK);
    }
    let (mut shared, mut dedicated) = (proxy.client(), proxy.client());
    say(&mut shared, "SET slow 1");
    assert_answers(&mut dedicated, "WATCH x", OK);
    let text = |reply: Vec<u8>| String::from_utf8_lossy(&reply).into_owned();
    for client in [&mut shared, &mut dedicated] {
        let info = text(say(client, "INFO"));
        assert!(info.contains("redis_proxy_version"), "{info}");
        assert!(info.contains("connected_clients:2\r\n"), "{info}");
        assert!(info.contains("# Cache\r\n"), "{info}");
        assert!(text(say(client, "PROXY SLOWLOG GET 100")).contains("slow"));
        assert!(say(client, "PROXY SLOWLOG GET x").starts_with(b"-ERR "));
        assert!(say(client, "PROXY SLOWLOG NOPE").starts_with(b"-ERR "));
        assert!(say(client, "UPSTREAM INFO server").starts_with(b"$"));
        assert_answers(client, "SLOWLOG LEN", b":0\r\n");
        assert_answers(client, "UPSTREAM SLOWLOG LEN", b":0\r\n");
    }
    assert_answers(&mut dedicated, "PROXY SLOWLOG RESET", OK);
    let log = text(say(&mut dedicated, "PROXY SLOWLOG GET 100"));
    assert!(!log.contains("slow\r\n$1\r\n1"));
    // As in the protocol that is spoken.
    say(&mut dedicated, "HELLO 3");
    assert!(say(&mut dedicated, "INFO server").starts_with(b"="));
    assert!(say(&mut dedicated, "CLIENT INFO").starts_with(b"="));
}
