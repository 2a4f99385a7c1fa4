//! Age and hits of an entry, for inspection.

use super::*;

fn look<'a>(cache: &'a Cache, key: &'a str, now: u64) -> Look<'a> {
    cache
        .look(in_0(key.as_bytes()), at(now))
        .expect("it is cached")
}

fn question(words: &[u8]) -> Question<'_> {
    Question { kind: 1, words }
}

#[test]
fn an_entry_knows_its_age_and_its_hits() {
    for name in ["short", &"long".repeat(100)] {
        let mut cache = with_ttl(2000);
        insert(&mut cache, name, "value", 100);
        assert_eq!(look(&cache, name, 1100).age, Duration::from_secs(1));
        assert_eq!(look(&cache, name, 1100).reads, 0);
        for count in 1..=10 {
            get(&mut cache, name, 500);
            assert_eq!(look(&cache, name, 1100).reads, count);
        }
        // Past its end too, until it is removed.
        assert_eq!(look(&cache, name, 2600).age, Duration::from_millis(2500));
        // Its replacement is new.
        insert(&mut cache, name, "other", 1000);
        assert_eq!(look(&cache, name, 1100).age, Duration::from_millis(100));
        assert_eq!(look(&cache, name, 1100).reads, 0);
    }
}

#[test]
fn an_answer_that_ends_before_its_entry_changes_neither() {
    let mut cache = with_ttl(2000);
    insert(&mut cache, "key", "value", 0);
    get(&mut cache, "key", 0);
    let ttl = Duration::from_millis(200);
    let answer = Value::Bytes(b":5\r\n");
    cache.insert_answer(in_0(b"key"), question(b"words"), &answer, ttl, at(1000));
    let look = look(&cache, "key", 1100);
    assert_eq!(look.end, at(1200));
    assert_eq!(look.age, Duration::from_millis(1100));
    assert_eq!(look.reads, 1);
}

#[test]
fn answers_outlive_the_value() {
    let mut cache = with_ttl(2000);
    let ttl = Duration::from_millis(1000);
    let answer = Value::Bytes(b":5\r\n");
    cache.insert_answer(in_0(b"key"), question(b"words"), &answer, ttl, at(0));
    insert(&mut cache, "key", "value", 0);
    let with_value = cache.bytes();
    for _ in 0..2 {
        cache.remove_value(in_0(b"key"));
        assert_eq!(get(&mut cache, "key", 0), None);
        assert_eq!(
            cache.answer(in_0(b"key"), question(b"words"), at(0)),
            Some(answer.clone())
        );
        assert_eq!(cache.bytes(), with_value - "value".len());
    }
    cache.remove_answer(in_0(b"key"), question(b"words"));
    cache.remove_value(in_0(b"key"));
    assert_eq!((cache.len(), cache.bytes()), (0, 0));
}
