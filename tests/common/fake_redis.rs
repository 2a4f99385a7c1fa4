//! A backing Redis that misbehaves as a test wants it to.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Client, RedisServer, listen, request};
use redis_proxy::command::internal;

/// What a [`FakeRedis`] does about a request.
pub enum Answer {
    /// Sends these bytes.
    Reply(Vec<u8>),
    /// Sends these bytes, then closes the connection.
    ReplyAndClose(Vec<u8>),
    /// Sends these bytes, and the others when the first have long arrived.
    InParts(Vec<u8>, Vec<u8>),
    /// Sends these bytes one by one, with so much time between.
    Trickle(Vec<u8>, Duration),
    /// Sends the first bytes, and then the others again and again, until the other side has gone.
    Endless(Vec<u8>, Vec<u8>),
}

/// A real Redis behind a server that asks a closure what to answer to each request, and passes on those to
/// which it has no answer.
pub struct FakeRedis {
    redis: RedisServer,
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    /// The next connection to be told of changes is killed just before.
    losing: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakeRedis {
    /// Listens on a free port. `answer` is called with the key of each GET.
    pub fn start(answer: impl Fn(&[u8]) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_for_all(move |request| match request {
            [name, key, ..] if name.eq_ignore_ascii_case(b"GET") => Some(answer(key)),
            _ => None,
        })
    }

    /// Listens on a free port. `answer` is called with the arguments of each request.
    pub fn start_for_all(
        answer: impl Fn(&[Vec<u8>]) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = listen();
        let address = listener.local_addr().expect("a bound socket");
        let ended = Arc::new(AtomicBool::new(false));
        let losing = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(answer);
        let redis = RedisServer::start();
        let behind = redis.address();
        let acceptor = std::thread::spawn({
            let (ended, losing) = (Arc::clone(&ended), Arc::clone(&losing));
            let connections = Arc::clone(&connections);
            move || {
                for stream in listener.incoming() {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let (answer, losing) = (Arc::clone(&answer), Arc::clone(&losing));
                    connections.fetch_add(1, Ordering::SeqCst);
                    let client = Client::from_stream(stream.expect("a connection"));
                    let redis = Client::connect(&behind);
                    std::thread::spawn(move || serve(client, redis, &*answer, &losing));
                }
            }
        });
        Self {
            redis,
            address,
            ended,
            losing,
            connections,
            acceptor: Some(acceptor),
        }
    }

    /// Kills the next connection that is to be told of changes, just before it is.
    pub fn lose_next_tracker(&self) {
        self.losing.store(true, Ordering::SeqCst);
    }

    /// Where it listens, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Where the real one listens.
    pub fn behind(&self) -> String {
        self.redis.address()
    }
}

impl Drop for FakeRedis {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the acceptor, so that it sees the flag. The threads of connections end with them.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn serve(
    mut client: Client,
    mut redis: Client,
    answer: &dyn Fn(&[Vec<u8>]) -> Option<Answer>,
    losing: &AtomicBool,
) {
    while let Some(mut arguments) = client.read_request() {
        // The proxy spells its own requests as nobody else does.
        let subcommand = arguments.get(1).map(|word| &word[..]);
        if arguments
            .first()
            .is_some_and(|name| internal::is_internal(name, subcommand))
        {
            arguments[0].make_ascii_uppercase();
        }
        if let [_, tracking, .., id] = &arguments[..]
            && tracking.eq_ignore_ascii_case(b"TRACKING")
            && losing.swap(false, Ordering::SeqCst)
        {
            redis.send(request(&[&b"CLIENT"[..], b"KILL", b"ID", id]));
            assert_eq!(redis.read_reply(), b":1\r\n");
        }
        let answer = answer(&arguments).unwrap_or_else(|| {
            redis.send(request(&arguments));
            Answer::Reply(redis.read_reply())
        });
        // The proxy may have closed the connection.
        let goes_on = match answer {
            Answer::Reply(bytes) => client.try_send(bytes),
            Answer::InParts(first, rest) => {
                client.try_send(first) && {
                    std::thread::sleep(Duration::from_millis(50));
                    client.try_send(rest)
                }
            }
            Answer::Trickle(bytes, pause) => {
                for byte in bytes {
                    if !client.try_send([byte]) {
                        return;
                    }
                    std::thread::sleep(pause);
                }
                true
            }
            Answer::Endless(first, others) => {
                let mut sent = client.try_send(first);
                while sent {
                    sent = client.try_send(&others);
                }
                false
            }
            Answer::ReplyAndClose(bytes) => {
                client.try_send(bytes);
                false
            }
        };
        if !goes_on {
            return;
        }
    }
}
