//! Which entries are evicted when there is no room left.

use super::*;

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
    cache.remove(in_0(b"d"));
    insert(&mut cache, "e", "", 20);
    insert(&mut cache, "e", "", 20);
    cache.clear();
    assert_eq!(cache.evictions(), expected, "nobody was evicted");
}
