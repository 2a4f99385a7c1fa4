//! Removed entries free their memory.

use super::*;

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
        cache.insert(in_0(b"key"), &Value::Bytes(b"value"), at(now));
        assert_eq!((cache.len(), cache.terms.expiries().count()), (2, 2));
    }
    assert_in_step(&cache);
    assert!(cache.entries.capacity() < 100);
}

#[test]
fn evicted_entries_leave_nothing_behind() {
    let mut cache = with_entries(10);
    for number in 0..10_000_u64 {
        let key = number.to_string();
        cache.insert(in_0(key.as_bytes()), &Value::Bytes(b"value"), at(number));
    }
    assert_eq!(cache.len(), 10);
    assert!(cache.entries.capacity() < 100);
    assert_in_step(&cache);
}

#[test]
fn clear_gives_everything_back() {
    let mut cache = with_entries(10_000);
    let long: Rc<[u8]> = vec![b'x'; 100_000].into();
    cache.insert(in_0(b"long"), &Value::Shared(&long), at(0));
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
    cache.insert(
        in_0(number.to_string().as_bytes()),
        &Value::Bytes(b""),
        at(0),
    );
}

#[test]
fn a_shared_value_is_served_without_a_copy_and_let_go_with_its_entry() {
    let value: Rc<[u8]> = vec![b'x'; 100_000].into();
    let mut cache = with_entries(1);
    let endings: [fn(&mut Cache); 4] = [
        |cache| insert(cache, "other", "", 0),
        |cache| insert(cache, "key", "", 0),
        |cache| assert!(cache.remove(in_0(b"key"))),
        |cache| assert_eq!(cache.expire(at(2_000_000)), 1),
    ];
    for end in endings {
        cache.insert(in_0(b"key"), &Value::Shared(&value), at(0));
        assert_in_step(&cache);
        assert_eq!(cache.bytes(), 3 + 100_000 + ENTRY_OVERHEAD);
        let Some(Value::Shared(served)) = cache.get(in_0(b"key"), at(0)) else {
            panic!("a shared value");
        };
        assert!(Rc::ptr_eq(served, &value));
        assert_eq!(Rc::strong_count(&value), 2);
        end(&mut cache);
        assert_eq!(Rc::strong_count(&value), 1);
    }
}
