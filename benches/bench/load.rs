//! The load: many clients on one epoll loop. Each sends a pipeline of GETs, waits for all its replies,
//! and sends the next.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::client::{Client, PATIENCE};
use crate::dataset::{Dataset, Pipeline};
use crate::servers::Server;
use crate::stats::{self, Sample};

/// How many clients there are, and how many requests each sends at once.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The clients.
    pub clients: usize,
    /// The requests of a pipeline.
    pub pipeline: usize,
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
    pipeline: Pipeline,
    /// How the replies to a pipeline start, and how long they are together.
    header: Vec<u8>,
    replies: usize,
    shape: Shape,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
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
    /// Connects all clients; each gets one key first.
    fn connect(address: SocketAddr, dataset: Dataset, shape: Shape) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(shape.clients);
        for slot in 0..shape.clients {
            let mut client = Client::connect(address)?;
            client.get(0)?;
            let stream = client.into_stream();
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(slot), Interest::READABLE)?;
            clients.push(Connection {
                stream,
                owed: 0,
                sent_at: Instant::now(),
            });
        }
        Ok(Self {
            poll,
            clients,
            pipeline: Pipeline::new(dataset, shape.pipeline),
            header: dataset.reply_header(),
            replies: dataset.reply_length() * shape.pipeline,
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
        client.owed = self.replies;
        client.sent_at = now;
        client.stream.write_all(self.pipeline.draw())
    }

    /// Reads what is there. Returns whether a pipeline is answered by it.
    fn receive(&mut self, slot: usize) -> io::Result<bool> {
        let client = &mut self.clients[slot];
        if client.owed == 0 {
            return Ok(false);
        }
        while client.owed > 0 {
            match client.stream.read(&mut self.buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    let known = length.min(self.header.len());
                    let first = client.owed == self.replies;
                    if length > client.owed || first && self.buffer[..known] != self.header[..known]
                    {
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
