//! A Redis that answers numbered requests in its own way. A real one behind it answers all others.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;

use crate::TIMEOUT;
use crate::common::{Client, bulk, listen, request};
use crate::numbered::{OUT_OF_THE_BLUE, answer, most_often};
use crate::trouble::{Trouble, garbage, push};

pub struct Unruly {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    redis: String,
    over: AtomicBool,
    mood: Mutex<Mood>,
    connections: Mutex<Vec<Arc<Connection>>>,
    /// How often each numbered request came.
    asked: Mutex<HashMap<Vec<Vec<u8>>, usize>>,
}

/// What it is about to do.
struct Mood {
    random: Rng,
    /// The troubles that are left, and after how many replies the next is due.
    troubles: VecDeque<Trouble>,
    due: usize,
}

/// Whom a connection of the proxy serves, as far as its requests show that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    Unknown,
    OneClient,
    ManyClients,
}

pub struct Connection {
    stream: TcpStream,
    /// The proxy has sent numbered requests on it.
    numbered: AtomicBool,
    over: AtomicBool,
    output: Mutex<VecDeque<Output>>,
    grown: Condvar,
}

enum Output {
    Bytes(Vec<u8>),
    Wait(Duration),
    End,
}

/// How many replies there are between two troubles, at most: as many as a new connection begins with, or more.
const BETWEEN: [usize; 2] = [12, 150];

impl Unruly {
    /// Listens on a free port, in front of the Redis at that address. It causes no trouble yet.
    pub fn start(redis: String, random: Rng) -> Self {
        let listener = listen();
        let address = listener.local_addr().expect("a bound socket");
        let mood = Mood {
            random,
            troubles: VecDeque::new(),
            due: 0,
        };
        let shared = Arc::new(Shared {
            redis,
            over: AtomicBool::new(false),
            mood: Mutex::new(mood),
            connections: Mutex::default(),
            asked: Mutex::default(),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming() {
                    if shared.over.load(Ordering::SeqCst) {
                        return;
                    }
                    shared.accept(stream.expect("a connection"));
                }
            }
        });
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Causes these troubles from now on, one after another.
    pub fn cause(&self, troubles: Vec<Trouble>) {
        let mut mood = lock(&self.shared.mood);
        mood.troubles = troubles.into();
        mood.wait();
    }

    /// Whether no more trouble is to come.
    pub fn is_calm(&self) -> bool {
        lock(&self.shared.mood).troubles.is_empty()
    }

    /// Sends a reply on each connection that has had numbered requests. Returns those connections.
    pub fn send_a_reply_too_many(&self) -> Vec<Arc<Connection>> {
        let connections = lock(&self.shared.connections);
        let there = connections.iter().filter(|connection| {
            connection.numbered.load(Ordering::SeqCst) && !connection.is_over()
        });
        let there: Vec<_> = there.map(Arc::clone).collect();
        for connection in &there {
            connection.put(Output::Bytes(bulk("too many")));
        }
        there
    }

    #[track_caller]
    pub fn assert_asked_no_more_often_than_allowed(&self) {
        for (arguments, count) in &*lock(&self.shared.asked) {
            let request = request(arguments);
            let request = request.escape_ascii();
            assert!(
                *count <= most_often(arguments),
                "asked {count} times: {request}"
            );
        }
    }
}

impl Drop for Unruly {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the acceptor, so that it sees the flag. The threads of connections end with them.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for connection in &*lock(&self.shared.connections) {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, stream: TcpStream) {
        stream.set_nodelay(true).expect("a socket option");
        let handle = || stream.try_clone().expect("a file descriptor");
        let client = Client::from_stream(handle());
        let connection = Arc::new(Connection {
            stream: handle(),
            numbered: AtomicBool::new(false),
            over: AtomicBool::new(false),
            output: Mutex::default(),
            grown: Condvar::new(),
        });
        lock(&self.connections).push(Arc::clone(&connection));
        let random = lock(&self.mood).random.fork();
        thread::spawn({
            let connection = Arc::clone(&connection);
            move || connection.write(random)
        });
        let shared = Arc::clone(self);
        thread::spawn(move || shared.serve(client, &connection));
    }

    /// Answers requests until the other side has gone.
    fn serve(&self, mut client: Client, connection: &Connection) {
        let mut redis = Client::connect(&self.redis);
        let mut user = User::Unknown;
        let (mut resp3, mut silent) = (false, false);
        while let Some(arguments) = client.read_request() {
            let is_hello = arguments[0].eq_ignore_ascii_case(b"HELLO");
            if arguments[0] == b"WATCH" {
                user = User::OneClient;
            }
            let reply = match answer(&arguments) {
                Some(reply) => {
                    if user == User::Unknown {
                        user = User::ManyClients;
                    }
                    connection.numbered.store(true, Ordering::SeqCst);
                    *lock(&self.asked).entry(arguments).or_default() += 1;
                    reply
                }
                None => {
                    redis.send(request(&arguments));
                    redis.read_reply()
                }
            };
            if silent {
                continue;
            }
            let speaks_resp3 = is_hello && reply.starts_with(b"%");
            let mut mood = lock(&self.mood);
            match mood.trouble(&reply, user) {
                Some(trouble) => silent = connection.cause(trouble, &reply, &mut mood.random),
                None => {
                    let pushes = resp3 && !mood.troubles.is_empty();
                    connection.answer(reply, pushes, &mut mood.random);
                }
            }
            resp3 |= speaks_resp3;
        }
        connection.over.store(true, Ordering::SeqCst);
        connection.put(Output::End);
    }
}

impl Mood {
    /// What is to be done in the place of this reply, if it is time for trouble that suits it.
    fn trouble(&mut self, reply: &[u8], user: User) -> Option<Trouble> {
        let next = *self.troubles.front()?;
        self.due = self.due.saturating_sub(1);
        let suits = match next {
            // A client with a dedicated connection sees what comes on it, and may wait for as long as it likes.
            Trouble::Garbage | Trouble::OutOfTheBlue | Trouble::Silence => {
                user == User::ManyClients
            }
            Trouble::PushInside => user == User::ManyClients && reply.starts_with(b"*"),
            Trouble::Cut | Trouble::Late => true,
        };
        if self.due > 0 || !suits {
            return None;
        }
        self.wait();
        self.troubles.pop_front()
    }

    /// Draws when the next trouble is due.
    fn wait(&mut self) {
        let most = BETWEEN[self.random.usize(..2)];
        self.due = self.random.usize(1..=most);
    }
}

impl Connection {
    /// Whether the other side has gone.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn put(&self, output: Output) {
        lock(&self.output).push_back(output);
        self.grown.notify_all();
    }

    /// Answers as it should, perhaps late, and perhaps with pushes before it or behind it.
    fn answer(&self, reply: Vec<u8>, pushes: bool, random: &mut Rng) {
        if random.u8(..60) == 0 {
            self.put(Output::Wait(Duration::from_millis(random.u64(..100))));
        }
        if pushes && random.u8(..10) == 0 {
            self.put(Output::Bytes(push(random).to_vec()));
        }
        self.put(Output::Bytes(reply));
        if pushes && random.u8(..20) == 0 {
            self.put(Output::Bytes(push(random).to_vec()));
        }
    }

    /// Causes trouble. Returns whether it is silent from now on.
    fn cause(&self, trouble: Trouble, reply: &[u8], random: &mut Rng) -> bool {
        let (bytes, ends, silent) = match trouble {
            Trouble::Cut => (reply[..random.usize(..reply.len())].to_vec(), true, true),
            Trouble::Garbage => (garbage(random).to_vec(), false, false),
            Trouble::PushInside => (with_a_push_inside(reply, random), false, false),
            Trouble::Silence => (Vec::new(), false, true),
            Trouble::Late => {
                self.put(Output::Wait(TIMEOUT + TIMEOUT.mul_f64(random.f64())));
                (reply.to_vec(), false, false)
            }
            Trouble::OutOfTheBlue => (format!("-{OUT_OF_THE_BLUE}\r\n").into_bytes(), true, true),
        };
        self.put(Output::Bytes(bytes));
        if ends {
            self.put(Output::End);
        }
        silent
    }

    /// Writes what is put, in parts of any size, until its end.
    fn write(&self, mut random: Rng) {
        while self.write_next(&mut random) {}
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn write_next(&self, random: &mut Rng) -> bool {
        let bytes = match self.take() {
            Output::Bytes(bytes) => bytes,
            Output::Wait(time) => {
                thread::sleep(time);
                return true;
            }
            Output::End => return false,
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let most = [1, 8, 1000, usize::MAX][random.usize(..4)].min(rest.len());
            let (part, others) = rest.split_at(random.usize(1..=most));
            if (&self.stream).write_all(part).is_err() {
                return false;
            }
            if random.u8(..8) == 0 {
                thread::sleep(Duration::from_micros(random.u64(..2000)));
            }
            rest = others;
        }
        true
    }

    /// Waits for what is to be done next. Bytes come together, so that parts don't end where replies do.
    fn take(&self) -> Output {
        let output = lock(&self.output);
        let waited = self.grown.wait_while(output, |output| output.is_empty());
        let mut output = waited.unwrap_or_else(PoisonError::into_inner);
        let is_bytes = |output: &Output| matches!(output, Output::Bytes(_));
        let count = output.iter().take_while(|output| is_bytes(output)).count();
        if count == 0 {
            return output.pop_front().expect("there is some");
        }
        let mut bytes = Vec::new();
        for output in output.drain(..count) {
            if let Output::Bytes(more) = output {
                bytes.extend(more);
            }
        }
        Output::Bytes(bytes)
    }
}

/// An array with a push before one of its elements.
fn with_a_push_inside(array: &[u8], random: &mut Rng) -> Vec<u8> {
    let ends = array.windows(3).enumerate();
    let starts: Vec<usize> = ends
        .filter(|(_, bytes)| bytes == b"\r\n$")
        .map(|(at, _)| at + 2)
        .collect();
    let (before, behind) = array.split_at(starts[random.usize(..starts.len())]);
    [before, push(random), behind].concat()
}

/// A thread that panicked leaves what it had locked whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
