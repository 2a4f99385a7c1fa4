//! The head of a request over HTTP.

use std::time::Duration;

use redis_proxy::cache::Limits;
use redis_proxy::clock::Time;
use redis_proxy::http::history::History;
use redis_proxy::http::{MAX_HEAD, Site, respond};
use redis_proxy::proxy::{Access, Proxy};

use crate::mutate::Corpus;
use crate::{INPUTS, fuzz};

#[test]
fn http() {
    let fields = "X-Field: value\r\n".repeat(63);
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "x".repeat(MAX_HEAD - 100)
    );
    let corpus = Corpus::new(
        &[
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"HEAD /metrics HTTP/1.1\r\nHost: [::1]:9001\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.75,text/plain;q=0.5\r\n\r\n",
            b"GET http://proxy.example:80/status.json?after=12&x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"GET /healthz HTTP/1.0\r\n\r\n",
            b"GET /x HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
            b"GET /readyz HTTP/1.1\r\nhost:localhost\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
            b"HEAD /nothing?x=%20&after=1 HTTP/1.0\r\nX: a\tb\r\nHost: [::ffff:127.0.0.1]:80\r\n\r\n",
            b"GET http://[::1]/x HTTP/1.1\r\nHost: localhost.\r\nAccept: text/plain;q=0.3, application/openmetrics-text;q=1\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: 127.1\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: PROXY.example:65536\r\nHost: other\r\n\r\n",
            b"\r\nGET / HTTP/1.1\n\n",
            b"POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
            many.as_bytes(),
            long.as_bytes(),
        ],
        &[b"\r\n", b"\n", b"\r\n\r\n", b"\0", b"Host: ", b": ", b"?after=", b"&", b"=", b"q=", b";", b",", b"http://", b"[", b"]", b"%00", b"HTTP/1.1", b"\xff"],
    );
    let limits = Limits {
        entries: 10,
        memory: 1000,
        reply: 0,
        ttl: Duration::from_secs(1),
        stale_ttl: Duration::ZERO,
    };
    let (proxy, history) = (Proxy::new(limits, Access::default(), 0), History::default());
    let names = ["proxy.example".to_owned()];
    let site = Site {
        status: proxy.status(Time::default()),
        history: &history,
        names: &names,
        shutting_down: false,
    };
    fuzz("http", INPUTS, &corpus, |input, random| {
        let response = respond(input, &site);
        match &response {
            Some(response) => assert!(response.starts_with(b"HTTP/1.1 ")),
            None => assert!(input.len() < MAX_HEAD),
        }
        // A head that is not whole is not answered, unless it can't become right any more.
        let start = &input[..random.usize(..=input.len())];
        let early = respond(start, &site);
        if let (Some(early), Some(response)) = (early, response) {
            assert!(early == response || !early.starts_with(b"HTTP/1.1 200"));
        }
    });
}
