//! Readers and writers at once, each in a thread of its own, on a few counters that only grow.
//!
//! When a writer has the reply to its write, every read that starts later has to see it or a later one;
//! and what a reader has once seen, it never sees undone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{PATIENT, Proxy, RedisServer, request};
use crate::wire::Connection;

/// How long they are at it.
const DURATION: Duration = Duration::from_secs(2);

/// A counter, and what of it was acknowledged to a writer.
struct Counter {
    key: &'static str,
    acknowledged: AtomicU64,
}

/// How a writer counts on.
#[derive(Clone, Copy, Debug)]
enum Writer {
    /// With INCR over the shared connection.
    Shared,
    /// With a script that declares its key. Of one that it does not declare, other clients may read what it was until
    /// Redis reports it.
    Script,
    /// With INCR over a dedicated connection.
    Own,
    /// In a transaction.
    Transaction,
}

#[derive(Clone, Copy, Debug)]
enum Reader {
    Get,
    /// Several GET in one write.
    Pipeline,
    Mget,
}

impl Writer {
    fn prepare(self, client: &mut Connection) {
        if let Writer::Own = self {
            assert_eq!(client.command(&["WATCH", "nothing"]), b"+OK\r\n");
        }
    }

    /// Counts on by one, and returns where it is.
    fn write(self, client: &mut Connection, key: &str) -> u64 {
        let reply = match self {
            Writer::Shared | Writer::Own => client.command(&["INCR", key]),
            Writer::Script => {
                let script = "return redis.call('incr', KEYS[1])";
                client.command(&["EVAL", script, "1", key])
            }
            Writer::Transaction => {
                let requests = [
                    request(&["MULTI"]),
                    request(&["INCR", key]),
                    request(&["EXEC"]),
                ];
                let replies = client.exchange(&requests.concat(), 3);
                replies[2].strip_prefix(b"*1\r\n").expect("one").to_vec()
            }
        };
        number(reply.strip_prefix(b":").expect("a number"))
    }
}

impl Reader {
    /// Looks at a counter, perhaps several times.
    fn read(self, client: &mut Connection, key: &str) -> Vec<u64> {
        let values = match self {
            Reader::Get => vec![client.command(&["GET", key])],
            Reader::Pipeline => client.exchange(&request(&["GET", key]).repeat(5), 5),
            Reader::Mget => {
                let reply = client.command(&["MGET", key, key]);
                let elements = reply.strip_prefix(b"*2\r\n").expect("two");
                let (one, two) = elements.split_at(elements.len() / 2);
                vec![one.to_vec(), two.to_vec()]
            }
        };
        let line = |value: &[u8]| value.iter().position(|&byte| byte == b'\n');
        values
            .iter()
            .map(|value| number(&value[line(value).expect("a bulk string") + 1..]))
            .collect()
    }
}

fn number(line: &[u8]) -> u64 {
    let text = std::str::from_utf8(line).expect("a text");
    text.trim_end()
        .parse()
        .unwrap_or_else(|_| panic!("not a number: {text:?}"))
}

fn open(proxy: &Proxy, resp3: bool) -> Connection {
    let mut client = Connection::open(proxy.address());
    if resp3 {
        client.command(&["HELLO", "3"]);
    }
    client
}

#[test]
fn no_reader_sees_less_than_was_acknowledged_to_a_writer() {
    let redis = RedisServer::start();
    let counters = ["one", "two", "three"].map(|key| Counter {
        key,
        acknowledged: AtomicU64::new(0),
    });
    for counter in &counters {
        redis.set(counter.key, "0");
    }
    let proxy = Proxy::start(&redis, PATIENT);
    let over = AtomicBool::new(false);
    let (shared, over) = (&counters, &over);
    let (mut writes, mut reads) = (0, 0);
    thread::scope(|scope| {
        let mut writers = Vec::new();
        let mut readers = Vec::new();
        for resp3 in [false, true] {
            for kind in [
                Writer::Shared,
                Writer::Script,
                Writer::Own,
                Writer::Transaction,
            ] {
                let client = open(&proxy, resp3);
                writers.push(scope.spawn(move || write(kind, client, shared, over)));
            }
            for kind in [Reader::Get, Reader::Pipeline, Reader::Mget] {
                let client = open(&proxy, resp3);
                readers.push(scope.spawn(move || read(kind, client, shared, over)));
            }
        }
        let end = Instant::now() + DURATION;
        while Instant::now() < end && !over.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        over.store(true, Ordering::SeqCst);
        for writer in writers {
            writes += writer.join().expect("no writer fails");
        }
        for reader in readers {
            reads += reader.join().expect("no reader fails");
        }
    });
    println!("{writes} writes, {reads} reads");
    assert!(
        writes > 100 && reads > 100,
        "{writes} writes, {reads} reads"
    );
    let last: u64 = counters
        .iter()
        .map(|counter| Reader::Get.read(&mut open(&proxy, false), counter.key)[0])
        .sum();
    assert_eq!(last, writes, "every write counts once");
}

/// Ends all when its thread panics.
struct EndsAll<'a>(&'a AtomicBool);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn write(kind: Writer, mut client: Connection, counters: &[Counter], over: &AtomicBool) -> u64 {
    let _ends_all = EndsAll(over);
    kind.prepare(&mut client);
    let mut writes = 0;
    while !over.load(Ordering::SeqCst) {
        let counter = &counters[writes as usize % counters.len()];
        let value = kind.write(&mut client, counter.key);
        counter.acknowledged.fetch_max(value, Ordering::SeqCst);
        writes += 1;
        // Leaves time in which there is something in the cache.
        thread::sleep(Duration::from_micros(fastrand::u64(..2000)));
    }
    writes
}

fn read(kind: Reader, mut client: Connection, counters: &[Counter], over: &AtomicBool) -> u64 {
    let _ends_all = EndsAll(over);
    let mut seen = vec![0; counters.len()];
    let mut reads = 0;
    while !over.load(Ordering::SeqCst) {
        let index = reads as usize % counters.len();
        let counter = &counters[index];
        let acknowledged = counter.acknowledged.load(Ordering::SeqCst);
        for value in kind.read(&mut client, counter.key) {
            assert!(
                value >= acknowledged,
                "{kind:?} of {} gave {value} after a writer was told {acknowledged}",
                counter.key
            );
            assert!(
                value >= seen[index],
                "{kind:?} of {} gave {value} after {}",
                counter.key,
                seen[index]
            );
            seen[index] = value;
        }
        reads += 1;
    }
    reads
}
