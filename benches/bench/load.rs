//! The load: many clients on one epoll loop. Each sends a pipeline of requests, waits for all its replies,
//! and sends the next.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::client::{Client, HELLO, PATIENCE};
use crate::dataset::{self, Dataset};
use crate::requests::{Commands, Kind, Requests};
use crate::servers::Server;
use crate::stats::{self, Sample};

/// How many clients there are, and what they send.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The clients.
    pub clients: usize,
    /// The requests of a pipeline.
    pub pipeline: usize,
    /// What is asked.
    pub commands: Commands,
    /// Which versions of the protocol the clients speak.
    pub protocols: Protocols,
}

impl Shape {
    /// So many clients that send so many GETs at once, in RESP2.
    pub fn gets(clients: usize, pipeline: usize) -> Self {
        Self {
            clients,
            pipeline,
            commands: Commands::Gets,
            protocols: Protocols::Resp2,
        }
    }
}

/// Which versions of the protocol clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocols {
    /// RESP2.
    Resp2,
    /// RESP3.
    Resp3,
    /// Every other client speaks RESP3.
    Both,
}

impl Protocols {
    fn is_resp3(self, client: usize) -> bool {
        match self {
            Self::Resp2 => false,
            Self::Resp3 => true,
            Self::Both => client % 2 == 1,
        }
    }
}

/// The share of a turn that goes before it, unmeasured.
const WARM_UP: u32 = 8;

/// Gives a server its turn. `redis` is the one behind it, or itself.
pub fn measure(
    server: &Server,
    redis: &Server,
    dataset: Dataset,
    shape: Shape,
    turn: Duration,
) -> io::Result<Sample> {
    let mut at_redis = redis.client()?;
    let mut load = Load::connect(server.address, dataset, shape)?;
    load.run(turn / WARM_UP)?;
    let reads = at_redis.reads()?;
    let before = (server.cpu_time()?, redis.cpu_time()?);
    let mut outcome = load.run(turn)?;
    let after = (server.cpu_time()?, redis.cpu_time()?);
    let reads = at_redis.reads()? - reads;
    let requests = outcome.requests as f64;
    Ok(Sample {
        rate: requests / outcome.elapsed.as_secs_f64(),
        cpu: stats::microseconds(after.0 - before.0) / requests,
        cpu_redis: stats::microseconds(after.1 - before.1) / requests,
        reads: reads as f64 / requests,
        p50: stats::percentile(&mut outcome.times, 0.50),
        p99: stats::percentile(&mut outcome.times, 0.99),
    })
}

/// Connected clients.
struct Load {
    poll: Poll,
    clients: Vec<Connection>,
    requests: Requests,
    shape: Shape,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// What was sent last.
    sent: Kind,
    /// The bytes of replies that have not arrived.
    owed: usize,
    sent_at: Instant,
}

/// What a run gave. The server is idle again at its end.
struct Outcome {
    requests: u64,
    elapsed: Duration,
    /// For each pipeline, the time until its last reply.
    times: Vec<Duration>,
}

impl Load {
    /// Connects all clients at once; each gets one key first.
    fn connect(address: SocketAddr, dataset: Dataset, shape: Shape) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut asking = Vec::with_capacity(shape.clients);
        for slot in 0..shape.clients {
            let mut client = Client::connect(address)?;
            if shape.protocols.is_resp3(slot) {
                client.send(HELLO)?;
            }
            client.send(dataset::get(0).as_bytes())?;
            asking.push(client);
        }
        let mut requests = Requests::new(dataset, shape.commands, shape.pipeline);
        let (sent, _) = requests.draw();
        let mut clients = Vec::with_capacity(shape.clients);
        for (slot, mut client) in asking.into_iter().enumerate() {
            if shape.protocols.is_resp3(slot) {
                client.pass_over()?;
            }
            client.pass_over()?;
            let stream = client.into_stream();
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(slot), Interest::READABLE)?;
            clients.push(Connection {
                stream,
                sent,
                owed: 0,
                sent_at: Instant::now(),
            });
        }
        Ok(Self {
            poll,
            clients,
            requests,
            shape,
            buffer: vec![0; 256 * 1024],
        })
    }

    /// Has all clients ask for that long, and waits for the last reply.
    fn run(&mut self, time: Duration) -> io::Result<Outcome> {
        let start = Instant::now();
        let mut times = Vec::new();
        let mut events = Events::with_capacity(1024);
        for slot in 0..self.clients.len() {
            self.send(slot, Instant::now())?;
        }
        let mut asking = self.clients.len();
        while asking > 0 {
            match self.poll.poll(&mut events, Some(PATIENCE)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            if events.is_empty() {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "a server does not answer",
                ));
            }
            for event in &events {
                let Token(slot) = event.token();
                if !self.receive(slot)? {
                    continue;
                }
                let now = Instant::now();
                times.push(now - self.clients[slot].sent_at);
                if now - start < time {
                    self.send(slot, now)?;
                } else {
                    asking -= 1;
                }
            }
        }
        Ok(Outcome {
            requests: times.len() as u64 * self.shape.pipeline as u64,
            elapsed: start.elapsed(),
            times,
        })
    }

    /// Sends a pipeline. It fits into the empty buffer of any socket.
    fn send(&mut self, slot: usize, now: Instant) -> io::Result<()> {
        let client = &mut self.clients[slot];
        let (kind, bytes) = self.requests.draw();
        client.stream.write_all(bytes)?;
        client.sent = kind;
        client.sent_at = now;
        client.owed = self.requests.replies(kind).length;
        Ok(())
    }

    /// Reads what is there. Returns whether a pipeline is answered by it.
    fn receive(&mut self, slot: usize) -> io::Result<bool> {
        let client = &mut self.clients[slot];
        if client.owed == 0 {
            return Ok(false);
        }
        let replies = self.requests.replies(client.sent);
        while client.owed > 0 {
            match client.stream.read(&mut self.buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    let known = length.min(replies.header.len());
                    let first = client.owed == replies.length;
                    let as_expected = self.buffer[..known] == replies.header[..known];
                    if length > client.owed || first && !as_expected {
                        let text = self.buffer[..length.min(80)].escape_ascii();
                        return Err(io::Error::other(format!("an unexpected reply: {text}")));
                    }
                    client.owed -= length;
                    if length < self.buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(client.owed == 0)
    }
}
