//! What asks the proxy over HTTP, and keeps every byte.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::{DEADLINE, Port, Proxy, RedisServer};

/// A proxy that serves HTTP, and its address for that.
pub struct Http {
    pub proxy: Proxy,
    pub address: SocketAddr,
    /// Held so that the port is still free when the proxy is started again.
    _port: Port,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub code: u16,
    pub fields: String,
    pub body: String,
}

impl Http {
    /// Starts the proxy and waits until it is connected to this Redis.
    #[track_caller]
    pub fn start(redis: &RedisServer, flags: &[&str]) -> Self {
        let http = Self::start_at(&redis.address(), flags);
        http.proxy.wait_for_redis();
        http
    }

    /// Starts the proxy in front of an address where a Redis may or may not be.
    #[track_caller]
    pub fn start_at(redis: &str, flags: &[&str]) -> Self {
        Self::start_with(&[&["--redis_hostname", redis], flags].concat())
    }

    /// Starts the proxy in front of the Redis that the flags say.
    #[track_caller]
    pub fn start_with(flags: &[&str]) -> Self {
        let port = Port::reserve();
        let number = port.number();
        let flag = ["--metrics_port", &number.to_string()];
        let proxy = Proxy::start_with(&[flags, &flag].concat());
        proxy.wait_for_log("serving HTTP");
        Self {
            proxy,
            address: ([127, 0, 0, 1], number).into(),
            _port: port,
        }
    }

    /// A connection on which nothing was sent yet.
    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the proxy accepts");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        stream
    }

    /// Sends these bytes, and reads until the proxy closes the connection.
    #[track_caller]
    pub fn send(&self, request: impl AsRef<[u8]>) -> Response {
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).expect("the proxy reads");
        read_response(&mut stream)
    }

    /// The response to a GET.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// The metrics, in the plain format.
    #[track_caller]
    pub fn metrics(&self) -> String {
        let response = self.get("/metrics");
        assert_eq!(response.code, 200, "{response:?}");
        response.body
    }

    /// The value of a sample, by its name and labels as they stand in the metrics.
    #[track_caller]
    pub fn metric(&self, sample: &str) -> f64 {
        let metrics = self.metrics();
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no sample {sample} in:\n{metrics}"));
        value.parse().expect("a number")
    }
}

/// Reads a response until its connection is closed.
#[track_caller]
pub fn read_response(stream: &mut TcpStream) -> Response {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("a response");
    // It fails if the proxy has closed it altogether.
    let _ = stream.shutdown(Shutdown::Both);
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no head: {text:?}"));
    let (status, fields) = head.split_once("\r\n").expect("a status line");
    let code = status
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    Response {
        code: code.and_then(|code| code.parse().ok()).expect("a code"),
        fields: fields.to_owned() + "\r\n",
        body: body.to_owned(),
    }
}
