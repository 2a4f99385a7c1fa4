//! With real sockets, and made-up time.

use std::io::{Read, Write};
use std::net::TcpStream as Std;

use mio::{Events, Poll};

use super::*;
use crate::cache::Limits;
use crate::proxy::Access;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The loop, as the HTTP server sees it.
struct World {
    poll: Poll,
    http: Http,
    proxy: Proxy,
    buffer: Vec<u8>,
    now: Time,
}

impl World {
    fn new() -> Self {
        let poll = Poll::new().expect("a poll");
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(address).expect("a free port");
        let limits = Limits {
            entries: 1,
            memory: 0,
            reply: 0,
            ttl: Duration::from_secs(1),
            stale_ttl: Duration::ZERO,
        };
        Self {
            http: Http::start(listener, Vec::new(), poll.registry()).expect("a poll that takes it"),
            poll,
            proxy: Proxy::new(limits, Access::default(), 0),
            buffer: vec![0; MAX_HEAD],
            now: Time::default(),
        }
    }

    fn connect(&self) -> Std {
        let address = self.http.listener.local_addr().expect("an address");
        let stream = Std::connect(address).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket option");
        stream
    }

    fn connect_all(&self) -> Vec<Std> {
        (0..MAX_CONNECTIONS).map(|_| self.connect()).collect()
    }

    /// One turn at that moment, with the events so far.
    fn turn(&mut self, milliseconds: u64) {
        let mut events = Events::with_capacity(1024);
        let a_little = Some(Duration::from_millis(1));
        self.poll.poll(&mut events, a_little).expect("a poll");
        events.iter().for_each(|event| self.http.note(event));
        self.now = Time::from_millis(milliseconds);
        self.http.turn(&mut Turn {
            registry: self.poll.registry(),
            proxy: &self.proxy,
            buffer: &mut self.buffer,
            now: self.now,
            shutting_down: false,
        });
    }

    /// Turns at that moment until a condition holds.
    #[track_caller]
    fn turn_until(&mut self, milliseconds: u64, condition: impl Fn(&Http) -> bool) {
        for _ in 0..1000 {
            if condition(&self.http) {
                return;
            }
            self.turn(milliseconds);
        }
        panic!("not so after a thousand turns");
    }

    /// Turns at that moment until nothing is left to do.
    fn settle(&mut self, milliseconds: u64) {
        for _ in 0..100 {
            self.turn(milliseconds);
        }
    }

    fn accepted(&self) -> u64 {
        self.http.count
    }
}

fn read_all(mut stream: Std) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    text
}

#[test]
fn without_connections_only_the_history_is_due() {
    let mut world = World::new();
    assert_eq!(world.http.due(), Time::from_millis(1000));
    world.turn(1000);
    assert_eq!(world.http.due(), Time::from_millis(2000));
    assert_eq!(world.http.history.count(), 1);
    world.turn(7500);
    assert_eq!(world.http.due(), Time::from_millis(8500));
    assert_eq!(world.http.history.count(), 2);
}

#[test]
fn little_is_done_in_a_turn_and_the_rest_at_once_in_the_next() {
    let mut world = World::new();
    let streams: Vec<Std> = (0..20).map(|_| world.connect()).collect();
    for mut stream in &streams {
        stream.write_all(REQUEST).expect("a request");
    }
    let (mut turns, mut accepted, mut answered) = (0, 0, 0);
    while answered < streams.len() {
        world.turn(1);
        let connections = &world.http.connections;
        let now = connections.iter().filter(|(_, one)| one.answered).count();
        assert!(now - answered <= 1 && world.accepted() - accepted <= AT_ONCE as u64);
        (answered, accepted) = (now, world.accepted());
        turns += 1;
        assert!(turns < 1000);
        assert!(answered == streams.len() || world.http.due() == Time::default());
    }
    assert!(turns >= streams.len());
    for stream in streams {
        assert!(read_all(stream).starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn a_connection_that_is_closed_after_its_response_is_gone() {
    let mut world = World::new();
    let mut stream = world.connect();
    stream.write_all(REQUEST).expect("a request");
    world.turn_until(1, |http| {
        http.connections.iter().any(|(_, one)| one.answered)
    });
    assert!(read_all(stream).ends_with("}\n"));
    world.turn_until(1, |http| http.connections.is_empty());
    assert_eq!(world.http.due(), Time::from_millis(1000));
}

#[test]
fn whoever_takes_too_long_is_told_and_cut_off() {
    let mut world = World::new();
    let (silent, mut slow, mut answered) = (world.connect(), world.connect(), world.connect());
    slow.write_all(&REQUEST[..20]).expect("a part");
    answered.write_all(REQUEST).expect("a request");
    world.turn_until(100, |http| {
        http.connections.iter().any(|(_, one)| one.answered)
    });
    world.turn_until(100, |http| http.connections.len() == 3);
    world.turn_until(100, |http| {
        http.connections
            .iter()
            .any(|(_, one)| !one.input.is_empty())
    });
    let end = 100 + MAX_TIME.as_millis() as u64;
    world.settle(end - 1);
    assert_eq!(world.http.connections.len(), 3);
    assert_eq!(world.http.due(), Time::from_millis(end));
    world.turn(end);
    assert!(world.http.connections.is_empty());
    assert_eq!(read_all(silent), "");
    assert!(read_all(slow).starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    assert!(read_all(answered).starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn the_oldest_makes_room_only_when_another_comes() {
    let mut world = World::new();
    let mut streams = world.connect_all();
    world.turn_until(0, |http| http.count == MAX_CONNECTIONS as u64);
    world.settle(1000);
    assert_eq!(world.http.connections.len(), MAX_CONNECTIONS);
    let mut new = world.connect();
    world.turn_until(1000, |http| http.count > MAX_CONNECTIONS as u64);
    assert_eq!(world.http.connections.len(), MAX_CONNECTIONS);
    assert_eq!(read_all(streams.remove(0)), "");
    // The others are still there.
    for mut stream in streams {
        stream.write_all(REQUEST).expect("a request");
        world.turn_until(1000, |http| {
            http.connections.iter().any(|(_, one)| one.answered)
        });
        assert!(read_all(stream).starts_with("HTTP/1.1 200 OK\r\n"));
        world.turn_until(1000, |http| {
            !http.connections.iter().any(|(_, one)| one.answered)
        });
    }
    new.write_all(REQUEST).expect("a request");
    world.turn_until(1000, |http| {
        http.connections.iter().any(|(_, one)| one.answered)
    });
    assert!(read_all(new).starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_connection_has_a_moment_for_its_request_however_many_come() {
    let mut world = World::new();
    let mut streams = world.connect_all();
    world.turn_until(100, |http| http.count == MAX_CONNECTIONS as u64);
    let many = world.connect_all();
    world.settle(149);
    assert_eq!(world.accepted(), MAX_CONNECTIONS as u64, "all are safe");
    assert_eq!(world.http.due(), Time::from_millis(150));
    // One that connected first only requests now, and is answered.
    streams[0].write_all(REQUEST).expect("a request");
    world.turn_until(149, |http| {
        http.connections.iter().any(|(_, one)| one.answered)
    });
    assert!(read_all(streams.remove(0)).starts_with("HTTP/1.1 200 OK\r\n"));
    world.settle(150);
    assert_eq!(world.accepted(), 2 * MAX_CONNECTIONS as u64);
    drop(many);
}
