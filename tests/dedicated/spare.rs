//! A dedicated connection whose client has left it serves the next who needs one.

use super::{
    OK, QUEUED, assert_answers, await_clients, client_named, clients_of, proxy_with_x,
    settled_clients,
};
use crate::common::{Client, Proxy, RedisServer, assert_same, eventually};

/// A transaction in parts, which needs a dedicated connection.
fn transact(client: &mut Client) {
    assert_answers(client, "MULTI", OK);
    assert_answers(client, "INCR count", QUEUED);
    let reply = client.command(&["EXEC"]);
    assert!(reply.starts_with(b"*1\r\n:"), "{}", reply.escape_ascii());
}

/// Redis's number of the only connection that has cleaned itself.
fn spare(redis: &RedisServer) -> Option<String> {
    let clients = clients_of(redis).into_iter();
    let mut spares = clients.filter(|line| line.contains(" cmd=reset "));
    let line = spares.next()?;
    line.split(' ').next().map(str::to_owned)
}

fn await_spare(redis: &RedisServer) -> String {
    eventually("one is kept", || spare(redis).is_some());
    spare(redis).expect("it is still there")
}

#[test]
fn the_next_client_gets_the_connection_that_another_has_left() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut first = proxy.client();
    assert_answers(&mut first, "CLIENT SETNAME first", OK);
    first.command(&["HELLO", "3"]);
    transact(&mut first);
    drop(first);
    let number = await_spare(&redis);
    let mut second = proxy.client();
    transact(&mut second);
    assert_eq!(spare(&redis), None);
    let of_second = clients_of(&redis);
    let line = of_second.iter().find(|line| line.starts_with(&number));
    let line = line.expect("it is still there");
    // Nothing of the first one is left.
    assert!(
        line.contains(" name= ") && line.contains(" resp=2"),
        "{line}"
    );
    assert_answers(&mut second, "CLIENT SETNAME second", OK);
    drop(second);
    await_spare(&redis);
    let mut third = proxy.client();
    assert_answers(&mut third, "CLIENT SETNAME third", OK);
    assert_answers(&mut third, "MULTI", OK);
    assert!(client_named(&redis, "third").starts_with(&number));
}

#[test]
fn only_so_many_are_kept_and_none_for_longer_than_they_lead_to_redis() {
    for (most, kept) in [("0", 0), ("2", 2)] {
        let (mut redis, proxy) = proxy_with_x(&["--dedicated_idle", most]);
        let before = settled_clients(&redis);
        let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
        clients.iter_mut().for_each(transact);
        await_clients(&redis, before + 4);
        drop(clients);
        await_clients(&redis, before + kept);
        redis.stop_noticed_by(&proxy);
        redis.start_again();
        proxy.wait_for_redis();
        transact(&mut proxy.client());
    }
}

#[test]
fn one_that_redis_closes_is_not_used() {
    let (redis, proxy) = proxy_with_x(&[]);
    transact(&mut proxy.client());
    let number = await_spare(&redis).replace("id=", "");
    redis.client().command(&["CLIENT", "KILL", "ID", &number]);
    eventually("it is gone", || spare(&redis).is_none());
    for _ in 0..3 {
        transact(&mut proxy.client());
    }
}

#[test]
fn nor_is_one_that_redis_has_closed_just_before_a_client_needs_it() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut client = proxy.client();
    transact(&mut proxy.client());
    let number = await_spare(&redis).replace("id=", "");
    // The proxy learns of both at once.
    proxy.signal("STOP");
    redis.client().command(&["CLIENT", "KILL", "ID", &number]);
    client.send("MULTI\r\n");
    proxy.signal("CONT");
    assert_same(&client.read_reply(), OK, &"MULTI");
}

#[test]
fn one_on_which_something_is_left_or_in_flight_is_closed() {
    let (redis, proxy) = proxy_with_x(&[]);
    let before = settled_clients(&redis);
    for left in [
        &["WATCH a"][..],
        &["MULTI"],
        &["SUBSCRIBE a"],
        &["CLIENT TRACKING ON"],
    ] {
        let mut client = proxy.client();
        for command in left {
            client.command(&command.split(' ').collect::<Vec<_>>());
        }
        drop(client);
        await_clients(&redis, before);
    }
    let mut client = proxy.client();
    client.send("BLPOP list 0\r\n");
    eventually("it is blocked", || {
        clients_of(&redis)
            .iter()
            .any(|line| line.contains(" cmd=blpop "))
    });
    drop(client);
    await_clients(&redis, before);
}

#[test]
fn a_redis_that_asks_for_a_password_gets_it_again() {
    let redis = RedisServer::start_with(&["--requirepass", "secret"]);
    let proxy = Proxy::start(&redis, &["--redis_password", "secret"]);
    proxy.wait_for_redis();
    let mut straight = redis.client();
    straight.command(&["AUTH", "secret"]);
    let connections = |straight: &mut Client| {
        let info = straight.command(&["INFO", "stats"]);
        let info = String::from_utf8(info).expect("a text");
        let mut lines = info.lines();
        let count = lines.find_map(|line| line.strip_prefix("total_connections_received:"));
        count.map(str::to_owned).expect("a count")
    };
    transact(&mut proxy.client());
    let before = connections(&mut straight);
    eventually("it is kept", || {
        let list = String::from_utf8(straight.command(&["CLIENT", "LIST"])).expect("a text");
        list.contains(" cmd=reset ")
    });
    transact(&mut proxy.client());
    assert_eq!(connections(&mut straight), before);
}
