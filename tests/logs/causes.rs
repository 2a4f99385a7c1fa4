//! Why Redis can't be used is said in words that name the likely cause.

use std::io::Write;
use std::thread;

use crate::common::{Proxy, RedisServer, assert_same, eventually, listen};

/// What a server does with a connection.
#[derive(Clone, Copy)]
enum Act {
    /// Closes it, with what it was sent unread.
    Reset,
    /// Reads what it is sent, and closes it.
    Close,
    /// Sends this.
    Say(&'static [u8]),
}

/// The reason for which Redis is down in the log of a proxy before a server that does so.
fn reason(act: Act) -> String {
    let listener = listen();
    let address = listener.local_addr().expect("a bound socket").to_string();
    // It ends with the test.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            // What was sent is there, so that it is a reset to leave it unread.
            stream.peek(&mut [0]).expect("a request");
            match act {
                Act::Reset => {}
                Act::Close => {
                    let mut reader = crate::common::Client::from_stream(stream);
                    while reader
                        .read_request()
                        .is_some_and(|request| !request[0].eq_ignore_ascii_case(b"PING"))
                    {
                    }
                }
                Act::Say(bytes) => stream.write_all(bytes).expect("the proxy reads"),
            }
        }
    });
    let proxy = Proxy::start_at(&address, &[]);
    proxy.wait_for_log("redis down")
}

#[test]
fn a_port_for_tls_is_named() {
    for act in [
        Act::Reset,
        Act::Close,
        Act::Say(b"\x15\x03\x03\x00\x02\x02\x46"),
    ] {
        let line = reason(act);
        assert!(
            line.contains("port may expect TLS") || line.contains("port expects TLS"),
            "{line}"
        );
    }
}

#[test]
fn a_limit_that_is_too_small_for_the_description_of_commands_is_named() {
    let limit = "normal 50kb 0 0";
    let redis = RedisServer::start_with(&["--client-output-buffer-limit", limit]);
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_until_down_for("client-output-buffer-limit");
}

#[test]
fn too_many_clients_at_redis_are_named() {
    let redis = RedisServer::start_with(&["--requirepass", "secret"]);
    let flags = ["--redis_password", "secret"];
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    let mut straight = redis.client();
    straight.command(&["AUTH", "secret"]);
    eventually("no other client is left", || {
        let reply = straight.command(&["CONFIG", "SET", "maxclients", "3"]);
        let list = String::from_utf8(straight.command(&["CLIENT", "LIST"])).expect("a text");
        reply == b"+OK\r\n" && list.matches("addr=").count() == 2 * 3
    });
    let refused = b"-ERR max number of clients reached\r\n";
    assert_same(&client.command(&["MULTI"]), refused, &"MULTI");
    let line = proxy.wait_for_log("dedicated connection failed");
    assert!(line.contains("max number of clients reached"), "{line}");
    let other = Proxy::start_at(&redis.address(), &flags);
    other.wait_until_down_for("max number of clients reached");
}
