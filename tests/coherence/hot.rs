//! One hot key that changes a thousand times a second, read as fast as the proxy answers.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Proxy, RedisServer, bulk, soak};
use crate::connections::address;
use crate::told::becomes;
use crate::wire::{Protocol, Reply, Wire, words};

const READERS: usize = 4;
const PIPELINE: usize = 16;
/// From one change to the next.
const PERIOD: Duration = Duration::from_millis(1);

/// How many reads there are in a long run, and in a short one.
const READS: usize = 1_000_000;
const FEWER_READS: usize = 150_000;

#[test]
fn a_million_reads_of_a_hot_key_that_changes_a_thousand_times_a_second_never_go_back_in_time() {
    let reads = soak().map_or(FEWER_READS, |_| READS);
    let redis = RedisServer::start();
    redis.set("hot", "0");
    let proxy = Proxy::start(&redis, &[]);
    let before = redis.calls("get");
    let over = &AtomicBool::new(false);
    let sent = &AtomicUsize::new(0);
    let newest = &AtomicU64::new(0);
    let start = Instant::now();
    let changes = std::thread::scope(|scope| {
        let straight = Wire::new(address(&redis), Protocol::Resp2);
        let writer = scope.spawn(move || change(straight, over));
        let readers: Vec<_> = (0..READERS)
            .map(|index| {
                let protocol = [Protocol::Resp2, Protocol::Resp3][index % 2];
                let wire = Wire::new(proxy.address(), protocol);
                scope.spawn(move || read(wire, reads, sent, newest))
            })
            .collect();
        let results = readers.into_iter().map(|reader| reader.join());
        let results: Vec<_> = results.collect();
        over.store(true, Ordering::SeqCst);
        let changes = writer.join().expect("Redis answers");
        for result in results {
            result.expect("no read goes back in time");
        }
        changes
    });
    println!(
        "{reads} reads of a hot key in {:?}, while it changed {changes} times; Redis was asked {} times",
        start.elapsed(),
        redis.calls("get") - before,
    );
    becomes(&mut proxy.client(), "hot", &bulk(changes.to_string()));
}

/// Counts the key up, straight at Redis. Returns how far.
fn change(mut straight: Wire, over: &AtomicBool) -> u64 {
    let start = Instant::now();
    let mut count = 0;
    while !over.load(Ordering::SeqCst) {
        let due = (start.elapsed().as_micros() / PERIOD.as_micros()) as u64;
        while count < due {
            count += 1;
            let reply = straight.command(&format!("SET hot {count}"));
            assert_eq!(reply.ok(), Some(Reply::Text("OK".into())));
        }
        std::thread::sleep(PERIOD / 4);
    }
    count
}

/// Reads until all readers together have read so often. `newest` is what any of them has got.
fn read(mut wire: Wire, reads: usize, sent: &AtomicUsize, newest: &AtomicU64) {
    let requests = words("GET hot").repeat(PIPELINE);
    while sent.fetch_add(PIPELINE, Ordering::Relaxed) < reads {
        let mut floor = newest.load(Ordering::SeqCst);
        for reply in wire.ask(&requests, PIPELINE).expect("the proxy answers") {
            let Reply::Text(text) = &reply else {
                panic!("{reply:?} is no count");
            };
            let count: u64 = text.parse().expect("a count");
            assert!(count >= floor, "{count} was served after {floor}");
            floor = count;
        }
        newest.fetch_max(floor, Ordering::SeqCst);
    }
}
