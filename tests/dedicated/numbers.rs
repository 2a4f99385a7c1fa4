//! The number of a client: it is the same wherever it comes back, and never taken for one of Redis's.

use super::twins::{assert_same_at_redis, field, id, lines, number, say};
use super::{OK, PONG, assert_answers, await_clients, clients_of, proxy_with_x, settled_clients};
use crate::common::{assert_same, bulk};

#[test]
fn a_client_keeps_its_number_with_and_without_a_dedicated_connection() {
    let (_redis, proxy) = proxy_with_x(&[]);
    let mut client = proxy.client();
    let own = id(&mut client);
    for state in [
        "WATCH x",
        "SELECT 3",
        "CLIENT TRACKING ON",
        "CLIENT NO-EVICT ON",
    ] {
        assert_answers(&mut client, state, OK);
        assert_eq!(id(&mut client), own, "{state}");
        let info = say(&mut client, "CLIENT INFO");
        assert_eq!(field(&lines(&info)[0], "id"), own.to_string());
        for version in ["2", "3"] {
            let greeting = say(&mut client, &format!("HELLO {version}"));
            let greeting = String::from_utf8_lossy(&greeting).into_owned();
            assert!(
                greeting.contains(&format!("$2\r\nid\r\n:{own}\r\n")),
                "{greeting}"
            );
        }
        assert_answers(&mut client, "RESET", b"+RESET\r\n");
        assert_eq!(id(&mut client), own, "after {state}");
    }
}

#[test]
fn what_is_queued_in_a_transaction_is_answered_in_its_place() {
    let (_redis, proxy) = proxy_with_x(&[]);
    let mut client = proxy.client();
    let own = id(&mut client);
    // What was discarded is not answered later.
    let session = "MULTI\r\nCLIENT INFO\r\nDISCARD\r\nMULTI\r\nCLIENT ID\r\nFOO\r\nEXEC\r\n\
                   MULTI\r\nPING\r\nCLIENT ID\r\nGET x\r\nCLIENT ID\r\nEXEC\r\nCLIENT ID\r\n";
    client.send(session);
    client.read_replies(7);
    let expected = format!(
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n\
         *4\r\n+PONG\r\n:{own}\r\n$4\r\ntrue\r\n:{own}\r\n:{own}\r\n"
    );
    assert_same(&client.read_replies(7), expected.as_bytes(), &"EXEC");
    // A silent client is not told, and the next reply is the right one.
    client.send("CLIENT REPLY SKIP\r\nCLIENT ID\r\nECHO end\r\n");
    assert_same(&client.read_reply(), &bulk("end"), &"SKIP");
}

#[test]
fn a_blocked_client_is_unblocked_by_its_number() {
    assert_same_at_redis(|place| {
        let (mut blocked, mut other) = (place.client(), place.client());
        let number = id(&mut blocked);
        let mut answers = Vec::new();
        for (command, how) in [
            ("BLPOP list 0", ""),
            ("BLPOP list 0", " TIMEOUT"),
            ("BLPOP list 0", " ERROR"),
            ("XREAD BLOCK 0 STREAMS s $", " error"),
        ] {
            blocked.send(format!("{command}\r\n"));
            other.await_blocked(1);
            let unblock = format!("CLIENT UNBLOCK {number}{how}");
            answers.push(say(&mut other, &unblock));
            answers.push(blocked.read_reply());
            answers.push(say(&mut other, &unblock));
            assert_eq!(id(&mut blocked), number);
        }
        // Also from a connection that is dedicated itself.
        say(&mut other, "WATCH key");
        blocked.send("BLPOP list 0\r\n");
        other.await_blocked(1);
        answers.push(say(&mut other, &format!("CLIENT UNBLOCK {number}")));
        answers.push(blocked.read_reply());
        for wrong in ["x", "-1", "0", "99999", &format!("{number} NOW")] {
            answers.push(say(&mut other, &format!("CLIENT UNBLOCK {wrong}")));
        }
        answers
    });
}

#[test]
fn numbers_of_redis_reach_nobody() {
    let (redis, proxy) = proxy_with_x(&[]);
    let before = settled_clients(&redis);
    let mut straight = redis.client();
    straight.send("BLPOP theirs 0\r\n");
    let mut blocked = proxy.client();
    blocked.send("BLPOP ours 0\r\n");
    redis.await_blocked(2);
    let ours = id(&mut proxy.client());
    let (mut shared, mut dedicated) = (proxy.client(), proxy.client());
    assert_answers(&mut dedicated, "WATCH x", OK);
    await_clients(&redis, before + 3);
    let numbers = clients_of(&redis);
    let numbers = numbers.iter().map(|line| field(line, "id").to_owned());
    // Those that are clients' numbers too are left out: it is these that must be met.
    for number in numbers.filter(|number| number.parse::<i64>().expect("a number") > ours + 2) {
        for client in [&mut shared, &mut dedicated] {
            for command in ["UNBLOCK", "KILL ID"] {
                let command = format!("CLIENT {command} {number}");
                assert_answers(client, &command, b":0\r\n");
            }
            let list = say(client, &format!("CLIENT LIST ID {number}"));
            assert_same(&list, b"$0\r\n\r\n", &number);
        }
    }
    // The harness does not count those that list clients themselves.
    say(&mut shared, "STRLEN x");
    say(&mut dedicated, "STRLEN x");
    assert_eq!(clients_of(&redis).len(), before + 3);
    assert!(straight.has_received_nothing() && blocked.has_received_nothing());
}

#[test]
fn no_number_reaches_the_proxys_own_connections() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut client = proxy.client();
    let before = clients_of(&redis);
    for number in 1..50 {
        for command in ["KILL ID", "UNBLOCK"] {
            say(&mut client, &format!("CLIENT {command} {number}"));
        }
    }
    say(&mut client, "CLIENT KILL TYPE normal");
    say(&mut client, "CLIENT KILL USER default");
    for line in before {
        let address = field(&line, "addr");
        for command in ["", "ADDR "] {
            say(&mut client, &format!("CLIENT KILL {command}{address}"));
        }
    }
    assert_eq!(proxy.count_in_log("reconnected"), 0);
    assert_eq!(proxy.count_in_log("redis down"), 0);
    assert_answers(&mut client, "SET y 1", OK);
}

#[test]
fn redis_itself_is_asked_behind_upstream_on_every_connection() {
    let (redis, proxy) = proxy_with_x(&[]);
    let (mut shared, mut dedicated) = (proxy.client(), proxy.client());
    assert_answers(&mut dedicated, "WATCH x", OK);
    for client in [&mut shared, &mut dedicated] {
        let listed = lines(&say(client, "UPSTREAM CLIENT LIST"));
        let names = listed
            .iter()
            .filter(|line| field(line, "name") == "redis-proxy");
        assert_eq!(names.count(), 2, "{listed:#?}");
        let own = number(&say(client, "UPSTREAM CLIENT ID")).to_string();
        assert!(listed.iter().any(|line| field(line, "id") == own));
        let mut killed = redis.client();
        let address = killed.local_address();
        assert_answers(&mut killed, "PING", PONG);
        let kill = format!("UPSTREAM CLIENT KILL {address}");
        assert_answers(client, &kill, OK);
        // What would change the connection is not asked.
        for command in ["REPLY OFF", "TRACKING ON", "SETNAME x", "NO-EVICT ON"] {
            let reply = say(client, &format!("UPSTREAM CLIENT {command}"));
            assert!(
                reply.starts_with(b"-ERR unknown "),
                "{}",
                reply.escape_ascii()
            );
        }
        assert_answers(client, "PING", b"+PONG\r\n");
    }
}
