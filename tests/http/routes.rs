//! What is answered to whom.

use std::net::TcpStream;

use crate::common::{Http, Proxy, RedisServer, proxy_command};

#[test]
fn each_route_is_answered_and_the_connection_closed() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, &[]);
    for (target, code, media_type, start) in [
        ("/", 200, "text/html; charset=utf-8", "<!doctype html>"),
        ("/page.css", 200, "text/css; charset=utf-8", ":root {"),
        (
            "/page.js",
            200,
            "text/javascript; charset=utf-8",
            "\"use strict\";",
        ),
        ("/icon.svg", 200, "image/svg+xml", "<svg "),
        (
            "/metrics",
            200,
            "text/plain; version=0.0.4; charset=utf-8",
            "# HELP ",
        ),
        (
            "/healthz",
            200,
            "application/json",
            "{\"status\":\"alive\",",
        ),
        ("/readyz", 200, "application/json", "{\"status\":\"ready\","),
        (
            "/status.json",
            200,
            "application/json",
            concat!("{\"version\":\"", env!("CARGO_PKG_VERSION"), "\","),
        ),
        ("/status", 404, "text/plain; charset=utf-8", "not found; "),
    ] {
        let get = http.get(target);
        assert_eq!(get.code, code, "{target}: {get:?}");
        assert!(
            get.fields
                .contains(&format!("Content-Type: {media_type}\r\n")),
            "{get:?}"
        );
        assert!(
            get.fields
                .contains(&format!("Content-Length: {}\r\n", get.body.len())),
            "{get:?}"
        );
        assert!(get.body.starts_with(start), "{target}: {get:?}");
        let head = http.send(format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!((head.code, head.body.as_str()), (code, ""), "{target}");
    }
    let post = http.send("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b");
    assert_eq!(post.code, 405);
    assert!(post.fields.contains("Allow: GET, HEAD\r\n"), "{post:?}");
}

#[test]
fn nothing_listens_and_nothing_turns_the_loop_without_the_flag() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    assert!(!proxy.log().iter().any(|line| line.contains("serving HTTP")));
    let sockets = |pid: u32| {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("a table");
        let listening = format!(":{:04X} 00000000:0000 0A", proxy.address().port());
        assert!(table.contains(&listening));
    };
    sockets(proxy.pid());
}

#[test]
fn a_port_that_is_taken_ends_the_program_with_a_reason() {
    let redis = RedisServer::start();
    let first = Http::start(&redis, &[]);
    let port = first.address.port().to_string();
    let mut second = proxy_command(&redis.address(), &["--metrics_port", &port]);
    let output = second.output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    // It has not said that it listens.
    let log = String::from_utf8_lossy(&output.stderr);
    let reason = format!(" fatal error reason=\"can't listen on 127.0.0.1:{port}: ");
    assert!(log.contains(&reason) && log.lines().count() == 1, "{log}");
}

#[test]
fn it_is_served_to_this_host_alone_unless_metrics_bind_says_otherwise() {
    let redis = RedisServer::start();
    // Another address of the same machine.
    let elsewhere = |http: &Http| TcpStream::connect(("127.0.0.2", http.address.port()));
    let http = Http::start(&redis, &["--bind", "0.0.0.0"]);
    assert_eq!(http.get("/healthz").code, 200);
    assert!(elsewhere(&http).is_err());
    let http = Http::start(&redis, &["--metrics_bind", "0.0.0.0"]);
    assert!(elsewhere(&http).is_ok());
}

#[test]
fn who_asks_by_a_name_that_is_not_given_is_refused() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, &["--metrics_host", "proxy.example,redis-proxy"]);
    let code = |host: &str| {
        let request = format!("GET /status.json HTTP/1.1\r\nHost: {host}\r\n\r\n");
        http.send(request).code
    };
    assert_eq!(code("rebound.example:9001"), 403);
    for host in [
        "proxy.example",
        "redis-proxy:9001",
        "localhost:9001",
        "10.1.2.3:9001",
        "[::1]",
    ] {
        assert_eq!(code(host), 200, "{host}");
    }
}

#[test]
fn no_password_is_told() {
    let redis = RedisServer::start_with(&["--requirepass", "of-redis"]);
    let flags = ["--redis_password", "of-redis", "--password", "of-proxy"];
    let http = Http::start_at(&redis.address(), &flags);
    http.proxy.wait_for_log("redis up");
    let mut client = http.proxy.client();
    client.command(&["AUTH", "of-proxy"]);
    client.command(&["SET", "secret-key", "secret-value"]);
    client.get("secret-key");
    for target in ["/", "/metrics", "/healthz", "/readyz", "/status.json"] {
        let response = http.get(target);
        for secret in ["of-redis", "of-proxy", "secret"] {
            assert!(!response.body.contains(secret), "{target}: {response:?}");
        }
    }
}
