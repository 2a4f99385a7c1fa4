//! The examples, built as the program that is tested.

use crate::common::{Proxy, RedisServer, bulk};

/// An example in front of a Redis.
fn example(name: &str, redis: &RedisServer) -> Proxy {
    Proxy::start_example(name, &["--redis_hostname", &redis.address()])
}

#[test]
fn an_audit_line_is_logged_for_each_write_of_a_user() {
    let redis = RedisServer::start();
    let proxy = example("audit", &redis);
    let client = redis::Client::open(format!("redis://{}/", proxy.address())).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    let set = |key: &str| redis::cmd("SET").arg(key).arg("secret").clone();
    for key in ["user:1", "other"] {
        set(key).exec(&mut connection).expect("OK");
    }
    redis::cmd("GET")
        .arg("user:1")
        .exec(&mut connection)
        .expect("a value");
    // As redis-py and others send a pipeline.
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("DEL").arg("other").ignore();
    pipeline
        .cmd("HSET")
        .arg("user:2")
        .arg("f")
        .arg("secret")
        .ignore();
    pipeline.exec(&mut connection).expect("executed");
    // It is blocked at Redis, on a connection of its own.
    redis::cmd("LPUSH")
        .arg("l")
        .arg("x")
        .exec(&mut connection)
        .expect("a length");
    let moved = ["BLMOVE", "l", "user:list", "LEFT", "LEFT", "1"].map(str::to_owned);
    let [name, arguments @ ..] = moved;
    redis::cmd(&name)
        .arg(&arguments[..])
        .exec(&mut connection)
        .expect("moved");
    proxy.wait_for_log("command=BLMOVE");
    assert_eq!(proxy.count_in_log("audit "), 3, "{:#?}", proxy.log());
    for expected in [
        "command=SET key=user:1",
        "command=HSET key=user:2",
        "command=BLMOVE key=l",
    ] {
        let line = proxy.wait_for_log(expected);
        assert!(
            line.contains("audit") && line.contains("user=default"),
            "{line}"
        );
    }
    assert_eq!(proxy.count_in_log("secret"), 0);
}

#[test]
fn a_value_is_computed_and_another_is_rewritten() {
    let redis = RedisServer::start();
    let proxy = example("computed", &redis);
    let mut client = proxy.client();
    client.command(&["SET", "price:1", "1234"]);
    for _ in 0..2 {
        assert_eq!(client.command(&["GET", "price:1"]), bulk("12.34"));
    }
    assert_eq!(client.command(&["GET", "price:none"]), b"$-1\r\n");
    let clock = String::from_utf8(client.command(&["GET", "clock"])).expect("text");
    assert!(clock.starts_with("$10\r\n"), "{clock}");
    let connection = redis.client().command(&["EXISTS", "clock"]);
    assert_eq!(connection, b":0\r\n");
    // In a transaction too.
    client.send("MULTI\r\nGET price:1\r\nGET clock\r\nEXEC\r\n");
    let replies = client.read_replies(4);
    let replies = String::from_utf8(replies).expect("text");
    let start = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$5\r\n12.34\r\n$10\r\n";
    assert!(replies.starts_with(start), "{replies}");
}
