//! A backing Redis that misbehaves at GET as a test wants it to.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Client, RedisServer, request};

/// What a [`FakeRedis`] does about a request.
pub enum Answer {
    /// Sends these bytes.
    Reply(Vec<u8>),
    /// Sends these bytes, then closes the connection.
    ReplyAndClose(Vec<u8>),
    /// Sends these bytes, and the others when the first have long arrived.
    InParts(Vec<u8>, Vec<u8>),
}

/// A real Redis behind a server that asks a closure what to answer to each GET, and passes on
/// everything else.
pub struct FakeRedis {
    redis: RedisServer,
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakeRedis {
    /// Listens on a free port. `answer` is called with the key of each GET.
    pub fn start(answer: impl Fn(&[u8]) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let ended = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let redis = RedisServer::start();
        let behind = redis.address();
        let acceptor = std::thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                for stream in listener.incoming() {
                    if ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let answer = Arc::clone(&answer);
                    let client = Client::from_stream(stream.expect("a connection"));
                    let redis = Client::connect(&behind);
                    std::thread::spawn(move || serve(client, redis, &*answer));
                }
            }
        });
        Self {
            redis,
            address,
            ended,
            acceptor: Some(acceptor),
        }
    }

    /// Where it listens, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
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

fn serve(mut client: Client, mut redis: Client, answer: &dyn Fn(&[u8]) -> Answer) {
    while let Some(arguments) = client.read_request() {
        let answer = if arguments[0].eq_ignore_ascii_case(b"GET") {
            answer(&arguments[1])
        } else {
            redis.send(request(&arguments));
            Answer::Reply(redis.read_reply())
        };
        match answer {
            Answer::Reply(bytes) => client.send(bytes),
            Answer::InParts(first, rest) => {
                client.send(first);
                std::thread::sleep(Duration::from_millis(50));
                client.send(rest);
            }
            Answer::ReplyAndClose(bytes) => {
                client.send(bytes);
                return;
            }
        }
    }
}
