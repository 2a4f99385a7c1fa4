//! The relay of the harness does what it says: it delays, holds, silences and cuts each direction alone.

mod common;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use common::{
    Client, ConnectionId, DEADLINE, DIRECTIONS, Direction, MB, Proxy, RedisServer, Relay,
    eventually, listen, noise,
};

/// The two ends of a connection through a relay.
struct Ends {
    relay: Relay,
    client: Client,
    server: Client,
    connection: ConnectionId,
}

impl Ends {
    fn with(delay: impl FnMut(Direction) -> Duration + Send + 'static) -> Self {
        let listener = listen();
        let relay = Relay::start(address_of(&listener), delay).expect("a relay");
        let client = Client::connect(relay.address());
        let (stream, _) = listener.accept().expect("a connection");
        let connection = relay.connections()[0];
        Self {
            relay,
            client,
            server: Client::from_stream(stream),
            connection,
        }
    }

    fn new() -> Self {
        Self::with(|_| Duration::ZERO)
    }

    /// The ends that send and that receive in a direction.
    fn of(&mut self, direction: Direction) -> (&mut Client, &mut Client) {
        match direction {
            Direction::ToServer => (&mut self.client, &mut self.server),
            Direction::ToClient => (&mut self.server, &mut self.client),
        }
    }

    fn passes(&mut self, direction: Direction) {
        let (sender, receiver) = self.of(direction);
        sender.send("+passes\r\n");
        assert_eq!(receiver.read_reply(), b"+passes\r\n", "{direction:?}");
    }
}

fn address_of(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket")
}

fn other(direction: Direction) -> Direction {
    DIRECTIONS[1 - direction as usize]
}

#[test]
fn each_direction_has_a_delay_of_its_own() {
    for slow in DIRECTIONS {
        let mut ends = Ends::with(move |direction| match direction == slow {
            true => DEADLINE,
            false => Duration::from_millis(1),
        });
        let (sender, _) = ends.of(slow);
        sender.send("+late\r\n");
        ends.passes(other(slow));
        let (_, receiver) = ends.of(slow);
        assert!(receiver.has_received_nothing(), "{slow:?}");
    }
    const SHORT: Duration = Duration::from_millis(50);
    let mut ends = Ends::with(|_| SHORT);
    for direction in DIRECTIONS {
        let start = Instant::now();
        ends.passes(direction);
        assert!(start.elapsed() >= SHORT, "{direction:?}");
    }
}

#[test]
fn megabytes_keep_their_order_through_delays_and_sockets_that_are_full() {
    let bytes = noise(20 * MB);
    let mut ends = Ends::with(|_| Duration::from_millis(3));
    let (sender, receiver) = (&mut ends.client, &mut ends.server);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.send(&bytes);
            sender.finish_sending();
        });
        assert!(receiver.read_to_end() == bytes);
    });
}

#[test]
fn what_is_held_is_delivered_in_order_when_it_is_released() {
    const LINES: &[u8] = b"+first\r\n+second\r\n";
    for direction in DIRECTIONS {
        let mut ends = Ends::new();
        ends.passes(direction);
        ends.relay.hold(&[ends.connection], direction);
        let (sender, _) = ends.of(direction);
        sender.send(LINES);
        eventually("it is held", || {
            ends.relay.under_way(ends.connection, direction) == LINES.len()
        });
        ends.passes(other(direction));
        assert!(ends.of(direction).1.has_received_nothing());
        ends.relay.release(&[ends.connection], direction);
        let received = ends.of(direction).1.read_replies(2);
        assert_eq!(received, LINES);
    }
}

#[test]
fn a_mark_has_passed_when_all_before_it_was_delivered() {
    let mut ends = Ends::new();
    ends.relay.hold(&[ends.connection], Direction::ToServer);
    ends.client.send("+before\r\n");
    let mark = ends.relay.mark(Direction::ToServer);
    assert!(!ends.relay.has_passed(&mark));
    ends.relay.release(&[ends.connection], Direction::ToServer);
    eventually("it has passed", || ends.relay.has_passed(&mark));
    assert_eq!(ends.server.read_reply(), b"+before\r\n");
}

#[test]
fn a_silent_direction_swallows_even_the_end() {
    for direction in DIRECTIONS {
        let mut ends = Ends::new();
        ends.relay.silence(&[ends.connection], direction);
        let (sender, _) = ends.of(direction);
        sender.send("+lost\r\n");
        sender.finish_sending();
        eventually("it is swallowed", || {
            ends.relay.passed(ends.connection, direction) == 7
        });
        ends.passes(other(direction));
        assert!(ends.of(direction).1.has_received_nothing());
    }
}

#[test]
fn a_direction_that_is_cut_ends_and_the_other_goes_on() {
    for direction in DIRECTIONS {
        let mut ends = Ends::new();
        ends.relay.hold(&[ends.connection], direction);
        ends.of(direction).0.send("+lost\r\n");
        ends.relay.cut(&[ends.connection], direction);
        assert_eq!(ends.of(direction).1.read_to_end(), b"");
        ends.passes(other(direction));
    }
}

#[test]
fn the_end_of_either_side_is_passed_on_after_what_was_sent_before() {
    for direction in DIRECTIONS {
        let mut ends = Ends::new();
        let (sender, receiver) = ends.of(direction);
        sender.send("+last\r\n");
        sender.finish_sending();
        assert_eq!(receiver.read_to_end(), b"+last\r\n");
        ends.passes(other(direction));
        ends.of(other(direction)).0.finish_sending();
        eventually("the connection is forgotten", || {
            ends.relay.connections().is_empty()
        });
    }
}

#[test]
fn a_relay_that_is_dropped_closes_its_connections() {
    let mut ends = Ends::new();
    drop(ends.relay);
    assert_eq!(ends.client.read_to_end(), b"");
    assert_eq!(ends.server.read_to_end(), b"");
}

#[test]
fn a_proxy_behind_a_relay_is_seen_by_redis_under_the_relays_address() {
    let redis = RedisServer::start();
    let server = SocketAddr::from(([127, 0, 0, 1], redis.port()));
    let relay = Relay::start(server, |_| Duration::from_millis(1)).expect("a relay");
    let _proxy = Proxy::start_at(&relay.address().to_string(), &[]);
    eventually("it is connected", || {
        let list = redis.client().command(&["CLIENT", "LIST"]);
        let list = String::from_utf8(list).expect("a text");
        let ours = list
            .lines()
            .filter(|line| line.contains("name=redis-proxy"));
        let addresses =
            ours.filter_map(|line| line.split(' ').find_map(|f| f.strip_prefix("addr=")));
        addresses
            .filter_map(|address| address.parse().ok())
            .any(|address| relay.connection_from(address).is_some())
    });
}
