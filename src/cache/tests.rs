//! The cache in sentences; and against a model that is too simple to be wrong.

mod model;

use super::*;

/// No bound but the ones that a test names.
const ROOMY: Limits = Limits {
    entries: 1000,
    memory: 0,
    ttl: Duration::from_secs(1000),
    stale_ttl: Duration::ZERO,
};

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
    cache.insert(key.as_bytes(), &Value::Bytes(value.as_bytes()), at(now));
    assert_in_step(cache);
}

fn get(cache: &mut Cache, key: &str, now: u64) -> Option<String> {
    match cache.get(key.as_bytes(), at(now))? {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        other => panic!("{other:?} is not what was kept"),
    }
}

/// The keys, the least recently used first.
fn keys(cache: &Cache) -> Vec<String> {
    let keys = cache.entries.keys();
    keys.map(|entry| String::from_utf8_lossy(entry.key()).into_owned())
        .collect()
}

/// Map, queue and byte count tell of the same entries.
#[track_caller]
fn assert_in_step(cache: &Cache) {
    assert_eq!(cache.entries.len(), cache.len());
    assert_eq!(cache.entries.is_empty(), cache.is_empty());
    let place = |entry: &Entry| Place::new(entry.deadline, cache.hash(entry.key()));
    let order = |place: &Place| (place.deadline.steps(), place.hash());
    let mut expected: Vec<Place> = cache.entries.keys().map(place).collect();
    expected.sort_by_key(order);
    let mut places: Vec<Place> = cache.queue.places().collect();
    places.sort_by_key(order);
    assert_eq!(places, expected);
    cache.queue.assert_whole();
    let costs = cache.entries.keys().map(Entry::cost);
    assert_eq!(cache.bytes(), costs.sum());
}

#[test]
fn a_value_is_there_until_it_is_removed() {
    let mut cache = with_entries(3);
    assert_eq!(get(&mut cache, "key", 0), None);
    insert(&mut cache, "key", "value", 0);
    assert_eq!(get(&mut cache, "key", 0).as_deref(), Some("value"));
    assert_eq!(get(&mut cache, "other", 0), None);
    assert!(cache.remove(b"key"));
    assert_eq!(get(&mut cache, "key", 0), None);
    assert!(!cache.remove(b"key"));
    assert_in_step(&cache);
    assert_eq!(cache.evictions(), Evictions::default());
}

#[test]
fn the_least_recently_used_goes_first() {
    let mut cache = with_entries(2);
    for key in ["a", "b", "c", "d"] {
        insert(&mut cache, key, "", 0);
    }
    assert_eq!(keys(&cache), ["c", "d"]);
}

#[test]
fn a_get_makes_a_key_the_most_recently_used() {
    let mut cache = with_entries(3);
    for key in ["a", "b", "c"] {
        insert(&mut cache, key, "", 0);
    }
    get(&mut cache, "a", 0);
    assert_eq!(keys(&cache), ["b", "c", "a"]);
    insert(&mut cache, "d", "", 0);
    assert_eq!(keys(&cache), ["c", "a", "d"]);
}

#[test]
fn a_get_of_an_expired_entry_does_not_renew_its_use() {
    let mut cache = with_ttl(10);
    insert(&mut cache, "a", "", 0);
    insert(&mut cache, "b", "", 5);
    get(&mut cache, "a", 10);
    assert_eq!(keys(&cache), ["a", "b"]);
}

#[test]
fn a_replaced_key_is_the_most_recently_used() {
    let mut cache = with_entries(2);
    for key in ["a", "b", "a", "c"] {
        insert(&mut cache, key, "", 0);
    }
    assert_eq!(keys(&cache), ["a", "c"]);
}

#[test]
fn a_cache_of_one_entry_keeps_the_last() {
    let mut cache = with_entries(1);
    for key in ["a", "b", "b", "c"] {
        insert(&mut cache, key, key, 0);
        assert_eq!(keys(&cache), [key]);
        assert_eq!(get(&mut cache, key, 0).as_deref(), Some(key));
    }
}

#[test]
fn a_replacement_evicts_nobody() {
    let mut cache = with_entries(2);
    for key in ["a", "b", "a", "b"] {
        insert(&mut cache, key, "", 0);
    }
    assert_eq!(cache.len(), 2);
    assert_eq!(cache.evictions(), Evictions::default());
}

#[test]
fn the_memory_budget_evicts_the_least_recently_used() {
    let mut cache = with_memory(3 * (ENTRY_OVERHEAD + 10));
    for key in ["a", "b", "c"] {
        insert(&mut cache, key, "123456789", 0);
    }
    assert_eq!(cache.len(), 3, "what fits to the byte stays");
    insert(&mut cache, "d", "", 0);
    assert_eq!(keys(&cache), ["b", "c", "d"]);
    insert(&mut cache, "e", &"x".repeat(ENTRY_OVERHEAD + 20), 0);
    assert_eq!(keys(&cache), ["d", "e"]);
}

#[test]
fn a_longer_replacement_evicts_others_and_not_itself() {
    let mut cache = with_memory(3 * (ENTRY_OVERHEAD + 10));
    for key in ["a", "b", "c"] {
        insert(&mut cache, key, "123456789", 0);
    }
    insert(&mut cache, "a", "1234567890", 0);
    assert_eq!(keys(&cache), ["c", "a"]);
}

#[test]
fn a_value_of_the_whole_budget_is_kept() {
    let mut cache = with_memory(ENTRY_OVERHEAD + 10);
    insert(&mut cache, "a", "123456789", 0);
    insert(&mut cache, "b", "123456789", 0);
    assert_eq!(keys(&cache), ["b"]);
    assert_eq!(cache.bytes(), ENTRY_OVERHEAD + 10);
}

#[test]
fn a_value_beyond_the_whole_budget_is_not_kept_and_evicts_nobody() {
    let mut cache = with_memory(2 * (ENTRY_OVERHEAD + 10));
    insert(&mut cache, "a", "", 0);
    insert(&mut cache, "b", "", 0);
    insert(&mut cache, "c", &"x".repeat(ENTRY_OVERHEAD + 20), 0);
    assert_eq!(keys(&cache), ["a", "b"]);
    assert_eq!(cache.evictions(), Evictions::default());
}

#[test]
fn a_value_beyond_the_whole_budget_ends_the_older_one_of_its_key() {
    let mut cache = with_memory(ENTRY_OVERHEAD + 10);
    insert(&mut cache, "a", "old", 0);
    insert(&mut cache, "a", "much too long", 0);
    assert_eq!(get(&mut cache, "a", 0), None);
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn without_a_memory_budget_there_is_no_bound_on_bytes() {
    let mut cache = with_memory(0);
    for key in ["a", "b", "c"] {
        insert(&mut cache, key, &"x".repeat(1_000_000), 0);
    }
    assert_eq!(cache.len(), 3);
    assert_eq!(cache.bytes(), 3 * (1_000_001 + ENTRY_OVERHEAD));
}

#[test]
fn evictions_are_counted_by_their_reason() {
    let mut limits = ROOMY;
    limits.entries = 2;
    limits.memory = 2 * (ENTRY_OVERHEAD + 10);
    limits.ttl = Duration::from_millis(10);
    let mut cache = Cache::new(limits);
    for key in ["a", "b", "c"] {
        insert(&mut cache, key, "", 0);
    }
    let mut expected = Evictions {
        capacity: 1,
        ..Evictions::default()
    };
    assert_eq!(cache.evictions(), expected);
    insert(&mut cache, "c", &"x".repeat(50), 0);
    expected.memory = 1;
    assert_eq!(cache.evictions(), expected);
    cache.expire(at(10));
    expected.expired = 1;
    assert_eq!(cache.evictions(), expected);
    insert(&mut cache, "d", "", 20);
    cache.remove(b"d");
    insert(&mut cache, "e", "", 20);
    insert(&mut cache, "e", "", 20);
    cache.clear();
    assert_eq!(cache.evictions(), expected, "nobody was evicted");
}

#[test]
fn an_expired_entry_is_never_served_even_if_it_was_not_removed_yet() {
    let mut cache = with_ttl(10);
    insert(&mut cache, "key", "value", 5);
    assert!(get(&mut cache, "key", 14).is_some());
    assert_eq!(get(&mut cache, "key", 15), None);
    assert_eq!(get(&mut cache, "key", 1000), None);
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_get_does_not_prolong_a_life() {
    let mut cache = with_ttl(10);
    insert(&mut cache, "key", "value", 0);
    assert!(get(&mut cache, "key", 9).is_some());
    assert_eq!(get(&mut cache, "key", 10), None);
}

#[test]
fn a_life_of_its_own_may_be_shorter_and_not_longer() {
    let mut cache = with_ttl(10);
    for (key, life) in [("short", 5), ("long", 15), ("none", 0)] {
        let life = Duration::from_millis(life);
        cache.insert_for(key.as_bytes(), &Value::Bytes(b""), life, at(0));
    }
    assert_in_step(&cache);
    assert!(get(&mut cache, "short", 4).is_some());
    assert_eq!(get(&mut cache, "short", 5), None);
    assert!(get(&mut cache, "long", 9).is_some());
    assert_eq!(get(&mut cache, "long", 10), None);
    assert_eq!(get(&mut cache, "none", 0), None);
    assert_eq!(cache.expire(at(5)), 2);
    assert_eq!(keys(&cache), ["long"]);
}

#[test]
fn a_stale_entry_is_kept_for_those_who_take_it() {
    let mut limits = ROOMY;
    limits.ttl = Duration::from_millis(10);
    limits.stale_ttl = Duration::from_millis(5);
    let mut cache = Cache::new(limits);
    insert(&mut cache, "key", "value", 0);
    assert_eq!(cache.next_deadline(), Some(at(15)));
    for now in [0, 9, 10, 14] {
        assert_eq!(get(&mut cache, "key", now).is_some(), now < 10);
        assert_eq!(
            cache.get_stale(b"key", at(now)),
            Some(Value::Bytes(b"value"))
        );
        assert_eq!(cache.expire(at(now)), 0);
    }
    assert_eq!(cache.get_stale(b"key", at(15)), None);
    assert_eq!(cache.expire(at(15)), 1);
    assert_in_step(&cache);
}

#[test]
fn that_there_is_no_such_key_is_kept_like_a_value() {
    let mut cache = with_entries(2);
    cache.insert(b"key", &Value::Missing, at(0));
    insert(&mut cache, "empty", "", 0);
    assert_eq!(cache.get(b"key", at(0)), Some(Value::Missing));
    assert_eq!(cache.get(b"empty", at(0)), Some(Value::Bytes(b"")));
    assert_eq!(cache.bytes(), 3 + 5 + 2 * ENTRY_OVERHEAD);
    insert(&mut cache, "key", "value", 0);
    assert_eq!(get(&mut cache, "key", 0).as_deref(), Some("value"));
    assert_eq!(cache.get(b"other", at(0)), None);
}

#[test]
fn a_replaced_entry_lives_its_new_time() {
    let mut cache = with_ttl(10);
    insert(&mut cache, "key", "old", 0);
    insert(&mut cache, "key", "new", 5);
    assert_eq!(cache.expire(at(14)), 0);
    assert_eq!(get(&mut cache, "key", 14).as_deref(), Some("new"));
    assert_eq!(cache.expire(at(15)), 1);
    assert!(cache.is_empty());
}

#[test]
fn an_entry_that_came_back_lives_its_new_time() {
    let mut cache = with_ttl(10);
    insert(&mut cache, "key", "old", 0);
    cache.remove(b"key");
    insert(&mut cache, "key", "new", 5);
    assert_eq!(cache.expire(at(10)), 0);
    assert_eq!(get(&mut cache, "key", 10).as_deref(), Some("new"));
}

#[test]
fn expire_removes_what_is_past_its_time_and_nothing_else() {
    let mut cache = with_ttl(10);
    for (key, now) in [("a", 0), ("b", 1), ("c", 1), ("d", 2)] {
        insert(&mut cache, key, "", now);
    }
    get(&mut cache, "a", 2);
    assert_eq!(cache.expire(at(9)), 0);
    assert_eq!(cache.expire(at(11)), 3);
    assert_in_step(&cache);
    assert_eq!(keys(&cache), ["d"]);
    assert_eq!(cache.expire(at(11)), 0);
    assert_eq!(cache.expire(at(12)), 1);
    assert_eq!(cache.expire(at(1000)), 0);
    assert_in_step(&cache);
}

#[test]
fn expire_removes_so_many_at_once_and_the_rest_the_next_time() {
    let mut cache = with_ttl(10);
    let total = 2 * EXPIRED_AT_ONCE + 5;
    for number in 0..total {
        let now = (number % 7) as u64;
        cache.insert(number.to_string().as_bytes(), &Value::Bytes(b""), at(now));
    }
    assert_eq!(cache.expire(at(16)), EXPIRED_AT_ONCE);
    assert_in_step(&cache);
    let oldest_left = at(10 + 3);
    assert_eq!(
        cache.next_deadline(),
        Some(oldest_left),
        "the oldest go first"
    );
    assert_eq!(cache.expire(at(16)), EXPIRED_AT_ONCE);
    assert_eq!(cache.expire(at(16)), 5);
    assert_eq!(cache.expire(at(16)), 0);
    assert_eq!(cache.evictions().expired, total as u64);
    assert_in_step(&cache);
}

#[test]
fn the_next_deadline_is_that_of_the_oldest() {
    let mut cache = with_ttl(10);
    assert_eq!(cache.next_deadline(), None);
    insert(&mut cache, "a", "", 0);
    insert(&mut cache, "b", "", 3);
    assert_eq!(cache.next_deadline(), Some(at(10)));
    insert(&mut cache, "a", "", 5);
    assert_eq!(cache.next_deadline(), Some(at(13)));
    cache.remove(b"b");
    assert_eq!(cache.next_deadline(), Some(at(15)));
    cache.expire(at(15));
    assert_eq!(cache.next_deadline(), None);
}

#[test]
fn a_life_without_end_does_not_overflow() {
    let mut cache = Cache::new(Limits {
        ttl: Duration::MAX,
        ..ROOMY
    });
    insert(&mut cache, "key", "value", 1000);
    assert_eq!(cache.expire(at(1_000_000_000)), 0);
    assert!(get(&mut cache, "key", 1_000_000_000).is_some());
}

#[test]
fn millions_of_replacements_leave_the_memory_where_it_was() {
    let rounds = if cfg!(debug_assertions) {
        1_000_000
    } else {
        10_000_000
    };
    let mut cache = with_ttl(1_000_000_000);
    insert(&mut cache, "another", "value", 0);
    for now in 0..rounds {
        cache.insert(b"key", &Value::Bytes(b"value"), at(now));
        assert_eq!((cache.len(), cache.queue.places().count()), (2, 2));
    }
    assert_in_step(&cache);
    assert!(cache.entries.capacity() < 100);
}

#[test]
fn evicted_entries_leave_nothing_behind() {
    let mut cache = with_entries(10);
    for number in 0..10_000_u64 {
        let key = number.to_string();
        cache.insert(key.as_bytes(), &Value::Bytes(b"value"), at(number));
    }
    assert_eq!(cache.len(), 10);
    assert!(cache.entries.capacity() < 100);
    assert_in_step(&cache);
}

#[test]
fn clear_gives_everything_back() {
    let mut cache = with_entries(10_000);
    let long: Rc<[u8]> = vec![b'x'; 100_000].into();
    cache.insert(b"long", &Value::Shared(&long), at(0));
    for number in 0..1000 {
        insert_number(&mut cache, number);
    }
    cache.clear();
    assert!(cache.is_empty());
    assert_eq!(
        (cache.bytes(), cache.next_deadline(), cache.expire(at(1))),
        (0, None, 0)
    );
    assert_eq!(cache.entries.capacity(), 0);
    assert_eq!(Rc::strong_count(&long), 1);
    insert(&mut cache, "key", "value", 0);
    assert_eq!(get(&mut cache, "key", 0).as_deref(), Some("value"));
}

#[test]
fn a_cache_that_expired_whole_gives_its_memory_back() {
    let mut cache = with_entries(10_000);
    for number in 0..1000 {
        insert_number(&mut cache, number);
    }
    assert_eq!(cache.expire(at(1_000_000)), 1000);
    assert_eq!(cache.entries.capacity(), 0);
    assert_in_step(&cache);
}

fn insert_number(cache: &mut Cache, number: usize) {
    cache.insert(number.to_string().as_bytes(), &Value::Bytes(b""), at(0));
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
    assert!(cache.remove(b"a"));
    assert_eq!(get(&mut cache, "ab", 0).as_deref(), Some(""));
    assert_eq!(get(&mut cache, "", 0).as_deref(), Some("ab"));
}

#[test]
fn an_empty_key_and_an_empty_value_are_as_good_as_any() {
    let mut cache = with_entries(1);
    insert(&mut cache, "", "", 0);
    assert_eq!(get(&mut cache, "", 0).as_deref(), Some(""));
    assert_eq!(cache.bytes(), ENTRY_OVERHEAD);
    assert!(cache.remove(b""));
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
            cache.insert(&key, value, at(0));
            bytes += key.len() + value.len() + ENTRY_OVERHEAD;
            assert_eq!(cache.get(&key, at(0)).as_ref(), Some(value));
            assert_eq!(cache.get(&key[..length], at(0)), None);
            assert_eq!(cache.bytes(), bytes);
        }
    }
    assert_in_step(&cache);
}

#[test]
fn a_time_between_two_milliseconds_counts_to_the_last_microseconds() {
    let nanos = |nanos| Time::default().after(Duration::from_nanos(nanos));
    let start = 7_654_321;
    let end = start + 1_000_000;
    let mut cache = with_ttl(1);
    cache.insert(b"key", &Value::Bytes(b"value"), nanos(start));
    assert!(cache.get(b"key", nanos(start)).is_some());
    assert!(cache.get(b"key", nanos(end - 10_000)).is_some());
    assert_eq!(cache.get(b"key", nanos(end)), None);
    assert!(cache.next_deadline().is_some_and(|due| due <= nanos(end)));
    assert_eq!(cache.expire(nanos(end - 10_000)), 0);
    assert_eq!(cache.expire(nanos(end)), 1);
}

#[test]
fn a_year_of_life_ends_after_a_year() {
    let year: u64 = 365 * 24 * 3600 * 1000;
    let mut cache = with_ttl(year);
    for started in [0, year / 3, 80 * year] {
        insert(&mut cache, "key", "value", started);
        assert!(get(&mut cache, "key", started + year - 1).is_some());
        assert_eq!(get(&mut cache, "key", started + year), None);
        assert_eq!(cache.expire(at(started + year)), 1);
    }
}

#[test]
fn a_shared_value_is_served_without_a_copy_and_let_go_with_its_entry() {
    let value: Rc<[u8]> = vec![b'x'; 100_000].into();
    let mut cache = with_entries(1);
    let endings: [fn(&mut Cache); 4] = [
        |cache| insert(cache, "other", "", 0),
        |cache| insert(cache, "key", "", 0),
        |cache| assert!(cache.remove(b"key")),
        |cache| assert_eq!(cache.expire(at(2_000_000)), 1),
    ];
    for end in endings {
        cache.insert(b"key", &Value::Shared(&value), at(0));
        assert_in_step(&cache);
        assert_eq!(cache.bytes(), 3 + 100_000 + ENTRY_OVERHEAD);
        let Some(Value::Shared(served)) = cache.get(b"key", at(0)) else {
            panic!("a shared value");
        };
        assert!(Rc::ptr_eq(served, &value));
        assert_eq!(Rc::strong_count(&value), 2);
        end(&mut cache);
        assert_eq!(Rc::strong_count(&value), 1);
    }
}
