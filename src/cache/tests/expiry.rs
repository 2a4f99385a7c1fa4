//! How long an entry lives.

use super::*;

#[test]
fn a_get_of_an_expired_entry_does_not_renew_its_use() {
    let mut cache = with_ttl(10);
    insert(&mut cache, "a", "", 0);
    insert(&mut cache, "b", "", 5);
    get(&mut cache, "a", 10);
    assert_eq!(keys(&cache), ["a", "b"]);
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
        cache.insert_for(in_0(key.as_bytes()), &Value::Bytes(b""), life, at(0));
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
            cache.get_stale(in_0(b"key"), at(now)),
            Some(Value::Bytes(b"value"))
        );
        assert_eq!(cache.expire(at(now)), 0);
    }
    assert_eq!(cache.get_stale(in_0(b"key"), at(15)), None);
    assert_eq!(cache.expire(at(15)), 1);
    assert_in_step(&cache);
}

#[test]
fn what_is_there_is_kept_for_as_long_as_a_new_limit_says() {
    let mut limits = ROOMY;
    limits.ttl = Duration::from_millis(10);
    let mut cache = Cache::new(limits);
    let rules = "own stale=7 ; soon refresh=4".parse().expect("rules");
    cache.set_rules(Rc::new(rules));
    for key in ["own", "soon", "other"] {
        insert(&mut cache, key, "value", 0);
    }
    for stale in [5, 0, 9] {
        limits.stale_ttl = Duration::from_millis(stale);
        cache.set_limits(limits);
        for (key, stale) in [("own", 7), ("soon", stale), ("other", stale)] {
            let mut is_kept = |now| cache.get_stale(in_0(key.as_bytes()), at(now)).is_some();
            assert!(is_kept(9 + stale) && !is_kept(10 + stale), "{key} {stale}");
        }
        assert_eq!(cache.next_deadline(), Some(at(10 + stale.min(7))));
        assert!(cache.keeps_stale());
    }
    assert_eq!(cache.expire(at(16)), 0);
    assert_eq!(cache.expire(at(17)), 1);
    assert_eq!(cache.expire(at(18)), 0);
    assert_eq!(cache.expire(at(19)), 2);
    assert_in_step(&cache);
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
    cache.remove(in_0(b"key"));
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
        cache.insert(
            in_0(number.to_string().as_bytes()),
            &Value::Bytes(b""),
            at(now),
        );
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
    cache.remove(in_0(b"b"));
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
fn a_time_between_two_milliseconds_counts_to_the_last_microseconds() {
    let nanos = |nanos| Time::default().after(Duration::from_nanos(nanos));
    let start = 7_654_321;
    let end = start + 1_000_000;
    let mut cache = with_ttl(1);
    cache.insert(in_0(b"key"), &Value::Bytes(b"value"), nanos(start));
    assert!(cache.get(in_0(b"key"), nanos(start)).is_some());
    assert!(cache.get(in_0(b"key"), nanos(end - 10_000)).is_some());
    assert_eq!(cache.get(in_0(b"key"), nanos(end)), None);
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
