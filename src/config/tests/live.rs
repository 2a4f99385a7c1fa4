//! Settings of a running proxy.

use super::super::{Difference, Unchanged};
use super::*;

#[test]
fn every_setting_has_a_value_that_means_the_same_again() {
    for (name, sample) in SAMPLES {
        let mut variables = beside(name);
        let variable = name.to_ascii_uppercase();
        variables.push((&variable, sample));
        let config = from_all(&[], &variables, "");
        for (name, value) in config.values() {
            let mut again = config.clone();
            match again.change(name, &value) {
                Ok(()) => assert_eq!(again, config, "{name} {value:?}"),
                Err(error) => assert_eq!(error, Unchanged::AtStart, "{name}"),
            }
        }
    }
}

#[test]
fn what_can_be_changed_is_taken_over_and_nothing_else() {
    for (name, sample) in SAMPLES {
        let mut variables = beside(name);
        let variable = name.to_ascii_uppercase();
        variables.push((&variable, sample));
        let new = from_all(&[], &variables, "");
        let old = Config::default();
        let differences = old.differences(&new);
        let difference = differences
            .iter()
            .find(|difference| difference.name == *name);
        let is_live = difference.is_some_and(|difference| difference.is_live);
        assert!(difference.is_some(), "{name}");
        let mut taken = old.clone();
        taken.take_live(&new);
        assert_eq!(taken != old, is_live, "{name}");
        let mut changed = old.clone();
        assert_eq!(changed.change(name, sample).is_ok(), is_live, "{name}");
    }
}

#[test]
fn a_change_says_why_it_can_not_be() {
    let mut config = Config::default();
    assert_eq!(config.change("no_such", "1"), Err(Unchanged::Unknown));
    assert_eq!(config.change("port", "1"), Err(Unchanged::AtStart));
    let allowed = "a whole number of entries from 1 to 4294967295".to_owned();
    assert_eq!(
        config.change("capacity", "0"),
        Err(Unchanged::NotAllowed(allowed))
    );
    config.change("rule", "a refresh=9").expect("a rule");
    config.change("cache_ttl", "9").expect("a time");
    assert!(config.check().is_err());
    config.change("cache_ttl", "10").expect("a time");
    assert_eq!(config.check(), Ok(()));
    let expected = Difference {
        name: "cache_ttl",
        before: "300000".to_owned(),
        after: "10".to_owned(),
        is_live: true,
    };
    assert_eq!(Config::default().differences(&config)[0], expected);
}
