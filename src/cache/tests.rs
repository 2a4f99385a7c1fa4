//! Tests of the cache one behaviour at a time, and against a model that is too simple to be wrong.

mod eviction;
mod expiry;
mod memory;
mod model;
mod notes;

use super::queue::Expiry;
use super::*;

/// No bounds except those that a test sets.
const ROOMY: Limits = Limits {
    entries: 1000,
    memory: 0,
    reply: 0,
    ttl: Duration::from_secs(1000),
    stale_ttl: Duration::ZERO,
};

/// The key of that name in the first database.
fn in_0(name: &[u8]) -> Key<'_> {
    Key::new(0, name)
}

fn at(milliseconds: u64) -> Time {
    Time::from_millis(milliseconds)
}

fn with_entries(entries: usize) -> Cache {
    Cache::new(Limits { entries, ..ROOMY })
}

fn with_memory(memory: usize) -> Cache {
    Cache::new(Limits { memory, ..ROOMY })
}

fn with_ttl(milliseconds: u64) -> Cache {
    let ttl = Duration::from_millis(milliseconds);
    let entries = usize::MAX;
    Cache::new(Limits {
        entries,
        ttl,
        ..ROOMY
    })
}

fn insert(cache: &mut Cache, key: &str, value: &str, now: u64) {
    cache.insert(
        in_0(key.as_bytes()),
        &Value::Bytes(value.as_bytes()),
        at(now),
    );
    assert_in_step(cache);
}

fn get(cache: &mut Cache, key: &str, now: u64) -> Option<String> {
    match cache.get(in_0(key.as_bytes()), at(now))? {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        other => panic!("{other:?} is not what was kept"),
    }
}

/// The keys, the least recently used first.
fn keys(cache: &Cache) -> Vec<String> {
    let keys = cache.entries.keys();
    keys.map(|entry| String::from_utf8_lossy(entry.name()).into_owned())
        .collect()
}

/// Checks that map, queue and byte count contain the same entries.
#[track_caller]
fn assert_in_step(cache: &Cache) {
    let expiry = |entry: &Entry| Expiry::new(entry.deadline, cache.hash(entry.name()));
    let order = |expiry: &Expiry| (expiry.deadline.steps(), expiry.hash());
    let all = || cache.entries.keys().chain(cache.pinned.keys());
    let mut expected: Vec<Expiry> = all().map(expiry).collect();
    expected.sort_by_key(order);
    let mut expiries: Vec<Expiry> = cache.terms.expiries().collect();
    expiries.sort_by_key(order);
    assert_eq!(expiries, expected);
    cache.terms.assert_whole();
    let costs = all().map(Entry::cost);
    assert_eq!(cache.bytes(), costs.sum());
}

#[test]
fn a_value_is_there_until_it_is_removed() {
    let mut cache = with_entries(3);
    assert_eq!(get(&mut cache, "key", 0), None);
    insert(&mut cache, "key", "value", 0);
    assert_eq!(get(&mut cache, "key", 0).as_deref(), Some("value"));
    assert_eq!(get(&mut cache, "other", 0), None);
    assert!(cache.remove(in_0(b"key")));
    assert_eq!(get(&mut cache, "key", 0), None);
    assert!(!cache.remove(in_0(b"key")));
    assert_in_step(&cache);
    assert_eq!(cache.evictions(), Evictions::default());
}

#[test]
fn that_there_is_no_such_key_is_kept_like_a_value() {
    let mut cache = with_entries(2);
    cache.insert(in_0(b"key"), &Value::Missing, at(0));
    insert(&mut cache, "empty", "", 0);
    assert_eq!(cache.get(in_0(b"key"), at(0)), Some(Value::Missing));
    assert_eq!(cache.get(in_0(b"empty"), at(0)), Some(Value::Bytes(b"")));
    assert_eq!(cache.bytes(), 3 + 5 + 2 * ENTRY_OVERHEAD);
    insert(&mut cache, "key", "value", 0);
    assert_eq!(get(&mut cache, "key", 0).as_deref(), Some("value"));
    assert_eq!(cache.get(in_0(b"other"), at(0)), None);
}

#[test]
fn keys_that_start_alike_are_different_keys() {
    let mut cache = with_entries(10);
    let pairs = [
        ("", "ab"),
        ("a", "b"),
        ("ab", ""),
        ("abc", "x"),
        ("a\0", "y"),
    ];
    for (key, value) in pairs {
        insert(&mut cache, key, value, 0);
    }
    for (key, value) in pairs {
        assert_eq!(get(&mut cache, key, 0).as_deref(), Some(value));
    }
    assert!(cache.remove(in_0(b"a")));
    assert_eq!(get(&mut cache, "ab", 0).as_deref(), Some(""));
    assert_eq!(get(&mut cache, "", 0).as_deref(), Some("ab"));
}

#[test]
fn an_empty_key_and_an_empty_value_are_as_good_as_any() {
    let mut cache = with_entries(1);
    insert(&mut cache, "", "", 0);
    assert_eq!(get(&mut cache, "", 0).as_deref(), Some(""));
    assert_eq!(cache.bytes(), ENTRY_OVERHEAD);
    assert!(cache.remove(in_0(b"")));
    assert_in_step(&cache);
}

#[test]
fn a_key_of_any_length_keeps_any_value() {
    let mut cache = with_entries(1000);
    let shared: Rc<[u8]> = vec![b's'; 20].into();
    let mut bytes = 0;
    for length in [0, 1, 254, 255, 256, 257, 70_000] {
        let values = [
            Value::Bytes(b""),
            Value::Bytes(b"value"),
            Value::Shared(&shared),
            Value::Missing,
        ];
        for (index, value) in values.iter().enumerate() {
            let mut key = vec![b'k'; length];
            key.push(index as u8);
            cache.insert(in_0(&key), value, at(0));
            bytes += key.len() + value.len() + ENTRY_OVERHEAD;
            assert_eq!(cache.get(in_0(&key), at(0)).as_ref(), Some(value));
            assert_eq!(cache.get(in_0(&key[..length]), at(0)), None);
            assert_eq!(cache.bytes(), bytes);
        }
    }
    assert_in_step(&cache);
}
