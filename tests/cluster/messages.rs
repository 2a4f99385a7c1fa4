//! Channels and sharded channels.

use crate::common::cluster::{Cluster, MASTERS};
use crate::common::{Client, Proxy, assert_same, bulk, eventually, request};

/// The reply to a subscription, or a message, in RESP2.
fn push(kind: &str, parts: &[&str], count: Option<usize>) -> Vec<u8> {
    let length = 1 + parts.len() + usize::from(count.is_some());
    let mut bytes = format!("*{length}\r\n").into_bytes();
    bytes.extend(bulk(kind));
    parts.iter().for_each(|part| bytes.extend(bulk(part)));
    if let Some(count) = count {
        bytes.extend(format!(":{count}\r\n").into_bytes());
    }
    bytes
}

fn subscriber(proxy: &Proxy, channel: &str) -> Client {
    let mut client = proxy.client();
    let reply = client.command(&["SUBSCRIBE", channel]);
    assert_same(
        &reply,
        &push("subscribe", &[channel], Some(1)),
        &"SUBSCRIBE",
    );
    client
}

#[test]
fn a_message_is_heard_whichever_node_it_was_published_at() {
    let cluster = Cluster::shared();
    let proxy = cluster.proxy(&[]);
    let mut client = subscriber(&proxy, "news");
    let mut pattern = proxy.client();
    let reply = pattern.command(&["PSUBSCRIBE", "ne*"]);
    assert_same(
        &reply,
        &push("psubscribe", &["ne*"], Some(1)),
        &"PSUBSCRIBE",
    );
    for node in 0..2 * MASTERS {
        let text = format!("from {node}");
        cluster
            .node(node)
            .client()
            .command(&["PUBLISH", "news", &text]);
        assert_same(
            &client.read_reply(),
            &push("message", &["news", &text], None),
            &text,
        );
        assert_same(
            &pattern.read_reply(),
            &push("pmessage", &["ne*", "news", &text], None),
            &text,
        );
    }
    proxy.client().command(&["PUBLISH", "news", "by the proxy"]);
    assert_same(
        &client.read_reply(),
        &push("message", &["news", "by the proxy"], None),
        &"by the proxy",
    );
    let reply = client.command(&["UNSUBSCRIBE"]);
    assert_same(
        &reply,
        &push("unsubscribe", &["news"], Some(0)),
        &"UNSUBSCRIBE",
    );
    assert_same(
        &client.command(&["SET", "news", "value"]),
        b"+OK\r\n",
        &"a client like any other",
    );
}

#[test]
fn a_message_of_a_sharded_channel_is_heard_at_every_node() {
    let cluster = Cluster::shared();
    let proxy = cluster.proxy(&[]);
    for master in 0..MASTERS {
        let channel = cluster.tag_at(master);
        let mut client = proxy.client();
        let reply = client.command(&["SSUBSCRIBE", &channel]);
        assert_same(
            &reply,
            &push("ssubscribe", &[&channel], Some(1)),
            &"SSUBSCRIBE",
        );
        let mut other = proxy.client();
        assert_same(
            &other.command(&["SPUBLISH", &channel, "proxied"]),
            b":1\r\n",
            &"SPUBLISH",
        );
        assert_same(
            &client.read_reply(),
            &push("smessage", &[&channel, "proxied"], None),
            &channel,
        );
        let straight = cluster
            .client_for(&channel)
            .command(&["SPUBLISH", &channel, "straight"]);
        assert_same(&straight, b":1\r\n", &"SPUBLISH");
        assert_same(
            &client.read_reply(),
            &push("smessage", &[&channel, "straight"], None),
            &channel,
        );
        let reply = client.command(&["SUNSUBSCRIBE", &channel]);
        assert_same(
            &reply,
            &push("sunsubscribe", &[&channel], Some(0)),
            &"SUNSUBSCRIBE",
        );
    }
    let [a, b] = [0, 1].map(|master| cluster.tag_at(master));
    let both = proxy.client().command(&["SSUBSCRIBE", &a, &b]);
    assert!(both.starts_with(b"-CROSSSLOT "), "{}", both.escape_ascii());
}

#[test]
fn subscribers_are_closed_or_moved_when_their_node_dies() {
    let mut cluster = Cluster::start_with(&["--cluster-require-full-coverage", "no"]);
    let proxy = cluster.proxy(&[]);
    // Of these, some are at the node that dies.
    let mut clients: Vec<Client> = (0..9).map(|_| subscriber(&proxy, "news")).collect();
    cluster.fail_over(0, MASTERS);
    // Who was moved hears what is published from then on; who was closed knows it, and comes back.
    for client in &mut clients {
        client.send(request(&["PING"]));
        if client.reply_or_end().is_none() {
            *client = subscriber(&proxy, "news");
        }
    }
    eventually("all are subscribed", || {
        let heard = cluster.running().map(|node| {
            let reply = node.ask("PUBSUB NUMSUB news");
            let count = reply.rsplit(':').next().expect("a count").trim_end();
            count.parse::<usize>().expect("a number")
        });
        heard.sum::<usize>() == clients.len()
    });
    cluster
        .node(1)
        .client()
        .command(&["PUBLISH", "news", "later"]);
    for client in &mut clients {
        assert_same(
            &client.read_reply(),
            &push("message", &["news", "later"], None),
            &"later",
        );
    }
}
