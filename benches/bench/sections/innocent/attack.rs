//! What others do meanwhile.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, encode};
use crate::dataset::{self, Dataset, REQUEST};
use crate::figures::count;
use crate::plan::Plan;
use crate::servers::Server;

const MEGABYTE: usize = 1024 * 1024;

/// The key of the value of which a `GETRANGE` asks for all.
const LARGE: &[u8] = b"large";

/// The bytes that slow readers ask for.
const READ_SLOWLY: usize = 50 * MEGABYTE;

/// How long a slow reader reads nothing, and how long it pauses after each read.
const READS_NOTHING: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);

/// What one client sends to a Redis that is stopped.
const SENT_TO_STOPPED: usize = 100 * 1024;

/// An attack. The plan may divide the numbers that are written here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Attack {
    /// None, for comparison.
    Nothing,
    /// One client pipelines 1,000 `GETRANGE` of 2 MB.
    Pipeline,
    /// One client asks for 5 MB again and again, and Redis closes connections for that.
    Limit,
    /// One client asks for 300,000 cached values of 8 KB by one `MGET`.
    Mget,
    /// 40 clients ask for 50 MB, and read slowly.
    SlowReaders,
    /// 500 clients each send 100 KB of GETs to a Redis that is stopped.
    Stopped,
    /// One client sends 150,000 GETs of 1 KB before it reads a reply.
    Unread,
}

impl Attack {
    pub const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Pipeline,
        Self::Limit,
        Self::Mget,
        Self::SlowReaders,
        Self::Stopped,
        Self::Unread,
    ];

    /// Its requests or clients.
    fn number(self, plan: &Plan) -> u32 {
        let number = match self {
            Self::Nothing | Self::Limit => return 1,
            Self::Pipeline => 1000,
            Self::Mget => 300_000,
            Self::SlowReaders => 40,
            Self::Stopped => 500,
            Self::Unread => 150_000,
        };
        number / plan.attack_divisor
    }

    /// How it is called in a table.
    pub fn name(self, plan: &Plan) -> String {
        let number = count(self.number(plan));
        match self {
            Self::Nothing => "no attack".into(),
            Self::Pipeline => format!("a pipeline of {number} GETRANGE of 2 MB"),
            Self::Limit => "GETRANGE of 5 MB in a loop, where Redis allows 1 MB".into(),
            Self::Mget => format!("an MGET of {number} cached values of 8 KB"),
            Self::SlowReaders => format!("{number} slow readers of a GETRANGE of 50 MB"),
            Self::Stopped => {
                format!("{number} clients that each send 100 KB of GETs to a stopped Redis")
            }
            Self::Unread => format!("{number} GETs of 1 KB, all sent before a reply is read"),
        }
    }

    /// The options of a Redis for it.
    pub fn redis_options(self) -> &'static [&'static str] {
        match self {
            Self::Limit => &["--client-output-buffer-limit", "normal", "1mb", "0", "0"],
            _ => &[],
        }
    }

    /// The keys that it asks for beside the large one.
    fn dataset(self, plan: &Plan) -> Option<Dataset> {
        let (count, value) = match self {
            Self::Mget => (self.number(plan), 8 * 1024),
            Self::Unread => (1, 1024),
            _ => return None,
        };
        Some(Dataset { count, value })
    }

    /// The length of the large value.
    fn large(self) -> Option<usize> {
        match self {
            Self::Pipeline => Some(2 * MEGABYTE),
            Self::Limit => Some(5 * MEGABYTE),
            Self::SlowReaders => Some(READ_SLOWLY),
            _ => None,
        }
    }

    /// Gives a Redis what it will be asked for.
    pub fn fill(self, plan: &Plan, redis: &Server) -> io::Result<()> {
        let mut client = redis.client()?;
        if let Some(length) = self.large() {
            client.ask(&[b"SET", LARGE, &vec![b'v'; length]])?;
        }
        self.dataset(plan)
            .map_or(Ok(()), |dataset| client.fill(dataset, None))
    }

    /// Has the proxy cache what it will be asked for.
    pub fn warm(self, plan: &Plan, proxy: &Server) -> io::Result<()> {
        self.dataset(plan)
            .map_or(Ok(()), |dataset| proxy.client()?.check(dataset))
    }

    /// Attacks a server for a while. Returns how many attackers got an error or were closed.
    pub fn repeat(self, plan: &Plan, server: &Server) -> io::Result<u32> {
        let start = Instant::now();
        let mut refused = 0;
        while start.elapsed() < plan.attack {
            refused += self.attack(plan, server)?;
        }
        Ok(refused)
    }

    /// Attacks it once.
    fn attack(self, plan: &Plan, server: &Server) -> io::Result<u32> {
        let number = self.number(plan);
        match self {
            Self::Nothing => {
                thread::sleep(plan.attack);
                Ok(0)
            }
            Self::Pipeline | Self::Limit => ask_at_once(server, &getrange(), number),
            Self::Mget => ask_at_once(server, dataset::mget(number).as_bytes(), 1),
            Self::SlowReaders => read_slowly(server, number),
            Self::Stopped => send_to_stopped(server, number),
            Self::Unread => ask_at_once(server, dataset::get(0).as_bytes(), number),
        }
    }
}

/// Asks for the whole of the large value.
fn getrange() -> Vec<u8> {
    encode(&[b"GETRANGE", LARGE, b"0", b"-1"])
}

/// Sends that request so often, and then reads the replies.
fn ask_at_once(server: &Server, request: &[u8], number: u32) -> io::Result<u32> {
    let mut client = server.client()?;
    let sent = client.send(&request.repeat(number as usize));
    let served = sent.and_then(|()| (0..number).try_for_each(|_| client.pass_over()));
    Ok(u32::from(served.is_err()))
}

fn read_slowly(server: &Server, number: u32) -> io::Result<u32> {
    let length = Dataset {
        count: 1,
        value: READ_SLOWLY,
    }
    .reply_length();
    let clients = connect(server, number)?;
    Ok(thread::scope(|scope| {
        let clients = clients.into_iter();
        let readers: Vec<_> = clients
            .map(|mut client| {
                scope.spawn(move || {
                    client.send(&getrange())?;
                    thread::sleep(READS_NOTHING);
                    receive_slowly(&mut client.into_stream(), length)
                })
            })
            .collect();
        let served = readers.into_iter().map(|reader| reader.join());
        served
            .map(|served| u32::from(!matches!(served, Ok(Ok(())))))
            .sum()
    }))
}

/// Reads a bulk string whose reply has so many bytes.
fn receive_slowly(stream: &mut TcpStream, length: usize) -> io::Result<()> {
    let mut buffer = vec![0; MEGABYTE];
    let mut left = length;
    while left > 0 {
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ if left == length && buffer[0] != b'$' => return Err(ErrorKind::InvalidData.into()),
            read => left = left.saturating_sub(read),
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Each client asks for keys of its own, and waits until it is answered or closed.
fn send_to_stopped(server: &Server, number: u32) -> io::Result<u32> {
    let mut clients = connect(server, number)?;
    let each = (SENT_TO_STOPPED / REQUEST) as u32;
    for (slot, client) in (0..).zip(&mut clients) {
        let keys = slot * each..(slot + 1) * each;
        // If it is closed already, this shows when it waits.
        let _ = client.send(keys.map(dataset::get).collect::<String>().as_bytes());
    }
    let mut refused = 0;
    for client in &mut clients {
        match client.pass_over() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
            answered => refused += u32::from(answered.is_err()),
        }
    }
    Ok(refused)
}

fn connect(server: &Server, number: u32) -> io::Result<Vec<Client>> {
    (0..number).map(|_| server.client()).collect()
}
