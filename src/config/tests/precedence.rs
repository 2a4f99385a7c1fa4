//! Which source wins.

use std::os::unix::ffi::OsStringExt;

use super::*;

fn ttl(args: &[&str], variables: &[(&str, &str)], file: &str) -> u128 {
    from_all(args, variables, file).cache_ttl.as_millis()
}

#[test]
fn a_flag_beats_the_environment() {
    assert_eq!(ttl(&["--cache_ttl=1"], &[("CACHE_TTL", "2")], ""), 1);
}

#[test]
fn a_flag_beats_the_file() {
    assert_eq!(ttl(&["--cache_ttl=1"], &[], "cache_ttl=3"), 1);
}

#[test]
fn the_environment_beats_the_file() {
    assert_eq!(ttl(&[], &[("CACHE_TTL", "2")], "cache_ttl=3"), 2);
}

#[test]
fn every_source_beats_the_default() {
    assert_eq!(ttl(&["--cache_ttl=1"], &[], ""), 1);
    assert_eq!(ttl(&[], &[("CACHE_TTL", "2")], ""), 2);
    assert_eq!(ttl(&[], &[], "cache_ttl=3"), 3);
}

#[test]
fn sources_complete_each_other() {
    let config = from_all(&["--port=1"], &[("CAPACITY", "2")], "max_clients = 3");
    assert_eq!(
        (config.port, config.capacity, config.max_clients),
        (1, 2, 3)
    );
}

#[test]
fn every_setting_means_the_same_from_every_source() {
    let password = ("REDIS_PASSWORD", "p");
    for (name, value) in SAMPLES {
        let by_flag = from_all(&[&format!("--{name}"), value], &[password], "");
        let variable = name.to_uppercase();
        assert_eq!(
            from_all(&[], &[(&variable, value), password], ""),
            by_flag,
            "{name}"
        );
        if *name != "redis_password" {
            assert_eq!(
                from_all(&[], &[password], &format!("{name} = {value}")),
                by_flag
            );
        }
    }
    assert_eq!(
        from_file("redis_password = a_b-c=d"),
        from_flags(&["--redis_password", "a_b-c=d"])
    );
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    for (name, _) in SAMPLES {
        assert_eq!(
            from_all(&[], &[(&name.to_uppercase(), "")], ""),
            Config::default()
        );
    }
    assert_eq!(ttl(&[], &[("CACHE_TTL", "")], "cache_ttl=3"), 3);
    assert_eq!(from_all(&[], &[("CONFIG", "")], ""), Config::default());
}

#[test]
fn an_empty_flag_is_a_value() {
    let variables = [("REDIS_USERNAME", "alice"), ("REDIS_PASSWORD", "p")];
    let file = "redis_username = bob\nredis_password = q";
    let config = from_all(
        &["--redis_username=", "--redis_password="],
        &variables,
        file,
    );
    assert_eq!(config, Config::default());
    assert!(flags_error(&["--capacity="]).starts_with("--capacity: \"\" is not allowed; give "));
}

#[test]
fn only_the_value_that_wins_is_checked() {
    assert_eq!(
        ttl(&["--cache_ttl=1"], &[("CACHE_TTL", "x")], "cache_ttl=y"),
        1
    );
    assert_eq!(ttl(&[], &[("CACHE_TTL", "2")], "cache_ttl=y"), 2);
}

#[test]
fn an_error_names_the_source() {
    let given = "\"0\" is not allowed; give a whole number of entries from 1 to 4294967295";
    assert_eq!(
        flags_error(&["--capacity", "0"]),
        format!("--capacity: {given}")
    );
    assert_eq!(
        error(&[], &[("CAPACITY", "0")], ""),
        format!("CAPACITY (environment): {given}")
    );
    assert_eq!(
        file_error("\n# small\ncapacity = 0"),
        format!("{FILE}:3: capacity: {given}")
    );
}

#[test]
fn a_variable_that_is_not_utf8_is_an_error() {
    let error = |name| {
        let value = OsString::from_vec(vec![0xff]);
        invoke_os(&[], &[(name, value)], "")
            .expect_err("a configuration")
            .to_string()
    };
    assert_eq!(
        error("CACHE_TTL"),
        "CACHE_TTL (environment): the value is not UTF-8"
    );
    assert_eq!(
        error("REDIS_PASSWORD"),
        "REDIS_PASSWORD (environment): the value is not UTF-8"
    );
    assert_eq!(
        error("CONFIG"),
        "CONFIG (environment): the value is not UTF-8"
    );
}

#[test]
fn the_flag_for_the_file_beats_the_variable() {
    let file = "capacity = 9";
    let by_flag = |path: &str, variables: &[(&str, OsString)]| {
        invoke_os(&["--config".into(), path.into()], variables, file)
    };
    let nine = Config {
        capacity: 9,
        ..Config::default()
    };
    assert_eq!(
        by_flag(FILE, &[]),
        Ok(Invocation::Run(Box::new(nine.clone())))
    );
    assert_eq!(
        by_flag(FILE, &[("CONFIG", "/nope".into())]),
        Ok(Invocation::Run(Box::new(nine)))
    );
    let none = by_flag("", &[("CONFIG", FILE.into())]);
    assert_eq!(none, Ok(Invocation::Run(Box::default())));
}

#[test]
fn a_file_that_cant_be_read_is_an_error() {
    let reason = "can't be read: No such file or directory (os error 2)";
    assert_eq!(
        flags_error(&["--config", "/nope"]),
        format!("--config: \"/nope\": {reason}")
    );
    let by_variable = error(&[], &[("CONFIG", "/no\npe")], "");
    assert_eq!(
        by_variable,
        format!("CONFIG (environment): \"/no\\npe\": {reason}")
    );
}
