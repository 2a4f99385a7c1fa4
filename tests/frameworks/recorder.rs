//! What programs ask and are answered: a relay in front of the proxy that passes their connections on as they are, and
//! keeps each request with its reply, and when both passed.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::common::{parse_request, reply_length};

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The database in which the client was.
    pub database: u32,
    /// The request, its name in lower case.
    pub words: Vec<Vec<u8>>,
    /// The reply as it came.
    pub reply: Vec<u8>,
    /// Before the request was passed on.
    pub asked: Duration,
    /// When the reply had come.
    pub answered: Duration,
    /// It stood between MULTI and EXEC.
    pub in_transaction: bool,
    /// Keys were watched.
    pub is_watching: bool,
}

/// The relay. Its threads end with the connections.
pub struct Recorder {
    address: SocketAddr,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

/// A connection, as its two directions share it.
struct Conversation {
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was asked and not answered yet. Nothing is kept once the client has subscribed to something: what follows are
    /// messages.
    asked: VecDeque<Exchange>,
    is_subscribed: bool,
    database: u32,
    in_transaction: bool,
    is_watching: bool,
}

/// The time of day, as `MONITOR` says it.
fn now() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("a time after 1970")
}

impl Recorder {
    /// Listens on a free port, in front of a server.
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let exchanges = Arc::default();
        thread::spawn({
            let exchanges = Arc::clone(&exchanges);
            move || {
                for client in listener.incoming().map_while(Result::ok) {
                    let server = TcpStream::connect(server).expect("the proxy accepts");
                    record(client, server, Arc::clone(&exchanges));
                }
            }
        });
        Self { address, exchanges }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All that was answered until now, in the order in which it was asked.
    pub fn exchanges(&self) -> Vec<Exchange> {
        let mut exchanges = lock(&self.exchanges).clone();
        exchanges.sort_by_key(|exchange| exchange.asked);
        exchanges
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic inside")
}

/// Has two threads pass on what comes from either side, until one of them ends.
fn record(client: TcpStream, server: TcpStream, exchanges: Arc<Mutex<Vec<Exchange>>>) {
    let conversation = Arc::new(Conversation {
        exchanges,
        state: Mutex::default(),
    });
    let handle = |stream: &TcpStream| {
        stream.set_nodelay(true).expect("a socket option");
        stream.try_clone().expect("a file descriptor")
    };
    let (to_client, to_server) = (handle(&client), handle(&server));
    thread::spawn({
        let conversation = Arc::clone(&conversation);
        move || pass_on(client, to_server, |bytes| conversation.request(bytes))
    });
    thread::spawn(move || pass_on(server, to_client, |bytes| conversation.reply(bytes)));
}

/// Passes bytes on. `take` is given all that it has not taken yet, and says how much it takes.
fn pass_on(mut from: TcpStream, mut to: TcpStream, take: impl Fn(&[u8]) -> usize) {
    let mut landing = vec![0; 64 * 1024];
    let mut kept = Vec::new();
    while let Ok(length @ 1..) = from.read(&mut landing) {
        kept.extend_from_slice(&landing[..length]);
        let taken = take(&kept);
        kept.drain(..taken);
        if to.write_all(&landing[..length]).is_err() {
            break;
        }
    }
    // The other side may have closed it already.
    let _ = to.shutdown(Shutdown::Write);
}

impl Conversation {
    fn request(&self, bytes: &[u8]) -> usize {
        let mut state = lock(&self.state);
        let mut taken = 0;
        while let Some((words, length)) = parse_request(&bytes[taken..]) {
            state.ask(words);
            taken += length;
        }
        taken
    }

    fn reply(&self, bytes: &[u8]) -> usize {
        let mut state = lock(&self.state);
        if state.is_subscribed {
            return bytes.len();
        }
        let mut taken = 0;
        while let Some(length) = reply_length(&bytes[taken..]) {
            let reply = &bytes[taken..taken + length];
            taken += length;
            // A push is no reply.
            if reply[0] == b'>' {
                continue;
            }
            let mut exchange = state.asked.pop_front().expect("a reply to a request");
            exchange.reply = reply.to_vec();
            exchange.answered = now();
            lock(&self.exchanges).push(exchange);
        }
        taken
    }
}

impl State {
    fn ask(&mut self, mut words: Vec<Vec<u8>>) {
        words[0].make_ascii_lowercase();
        match &*words[0] {
            b"subscribe" | b"psubscribe" | b"ssubscribe" | b"monitor" => self.is_subscribed = true,
            b"select" => {
                let number = String::from_utf8_lossy(&words[1]).parse();
                self.database = number.expect("the number of a database");
            }
            b"watch" => self.is_watching = true,
            b"multi" => self.in_transaction = true,
            b"exec" | b"discard" => {
                self.in_transaction = false;
                self.is_watching = false;
            }
            b"unwatch" => self.is_watching = false,
            b"reset" => {
                *self = Self {
                    asked: std::mem::take(&mut self.asked),
                    ..Self::default()
                }
            }
            _ => {}
        }
        if self.is_subscribed {
            return;
        }
        self.asked.push_back(Exchange {
            database: self.database,
            words,
            reply: Vec::new(),
            asked: now(),
            answered: Duration::ZERO,
            in_transaction: self.in_transaction,
            is_watching: self.is_watching,
        });
    }
}
