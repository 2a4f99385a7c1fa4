//! A thousand clients, most of them with a connection of their own.

use std::time::Duration;

use super::{OK, QUEUED, assert_answers, assert_x, await_clients, proxy_with_x, settled_clients};
use crate::common::{Client, Proxy, assert_same, eventually, raise_open_files};

/// What a thousand hits, one at a time, cost the proxy: the least of several rounds.
fn cost_of_hits(proxy: &Proxy, client: &mut Client) -> Duration {
    let round = || {
        let before = proxy.cpu_time_of_the_loop();
        (0..1000).for_each(|_| assert_x(client));
        proxy.cpu_time_of_the_loop() - before
    };
    std::iter::repeat_with(round)
        .take(5)
        .min()
        .expect("five rounds")
}

#[test]
fn five_hundred_open_transactions_and_a_hundred_subscribers_disturb_nobody() {
    raise_open_files(4000);
    let (redis, proxy) = proxy_with_x(&["--dedicated_idle", "0"]);
    let at_redis = settled_clients(&redis);
    let open_files = proxy.open_files();
    let mut reader = proxy.client();
    assert_x(&mut reader);
    let alone = cost_of_hits(&proxy, &mut reader);

    let mut clients: Vec<_> = (0..1000).map(|_| proxy.client()).collect();
    let (in_multi, others) = clients.split_at_mut(500);
    let (subscribed, shared) = others.split_at_mut(100);
    for (number, client) in in_multi.iter_mut().enumerate() {
        client.send(format!("MULTI\r\nSET own:{number} {number}\r\n"));
    }
    for client in subscribed.iter_mut() {
        client.send("SUBSCRIBE news\r\n");
    }
    for client in shared.iter_mut() {
        client.send("GET x\r\nPING\r\n");
    }
    for client in in_multi.iter_mut() {
        assert_same(&client.read_replies(2), &[OK, QUEUED].concat(), &"MULTI");
    }
    for client in subscribed.iter_mut() {
        assert_same(
            &client.read_reply(),
            b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
            &"SUBSCRIBE",
        );
    }
    for client in shared.iter_mut() {
        assert_same(
            &client.read_replies(2),
            b"$4\r\ntrue\r\n+PONG\r\n",
            &"GET, PING",
        );
    }
    await_clients(&redis, at_redis + 600);

    let in_company = cost_of_hits(&proxy, &mut reader);
    // A look at each of a thousand clients for every hit would cost far more.
    let limit = 2 * alone + Duration::from_millis(20);
    assert!(in_company < limit, "{in_company:?} instead of {alone:?}");
    assert_answers(&mut reader, "PUBLISH news all", b":100\r\n");
    for client in subscribed.iter_mut() {
        assert_same(
            &client.read_reply(),
            b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\nall\r\n",
            &"a message",
        );
    }
    for client in in_multi.iter_mut().step_by(2) {
        assert_answers(client, "EXEC", b"*1\r\n+OK\r\n");
    }
    assert_answers(&mut reader, "DBSIZE", b":251\r\n");

    drop(clients);
    drop(reader);
    await_clients(&redis, at_redis);
    eventually("the proxy has closed its sockets", || {
        proxy.open_files() <= open_files
    });
    assert_answers(&mut proxy.client(), "DBSIZE", b":251\r\n");
}
