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
        (Some(1), 2, 3)
    );
}

#[test]
fn every_setting_means_the_same_from_every_source() {
    for (name, value) in SAMPLES {
        let password = beside(name);
        let by_flag = from_all(&[&format!("--{name}"), value], &password, "");
        for prefix in ["", "REDIS_PROXY_"] {
            let variable = format!("{prefix}{}", name.to_uppercase());
            let variables = [&[(&*variable, *value)], &password[..]].concat();
            assert_eq!(from_all(&[], &variables, ""), by_flag, "{name}");
        }
        let file = format!("{name} = {value}");
        assert_eq!(from_all(&[], &password, &file), by_flag, "{name}");
    }
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
fn of_two_variables_the_one_with_the_prefix_wins() {
    let both = [("CACHE_TTL", "1"), ("REDIS_PROXY_CACHE_TTL", "2")];
    assert_eq!(ttl(&[], &both, ""), 2);
    assert_eq!(ttl(&["--cache_ttl=3"], &both, ""), 3);
    let empty = [("CACHE_TTL", "1"), ("REDIS_PROXY_CACHE_TTL", "")];
    assert_eq!(ttl(&[], &empty, ""), 1);
    let wrong = [("CACHE_TTL", "1"), ("REDIS_PROXY_CACHE_TTL", "x")];
    let error = error(&[], &wrong, "");
    assert!(
        error.starts_with("REDIS_PROXY_CACHE_TTL (environment): "),
        "{error}"
    );
}

#[test]
fn the_variable_that_names_the_file_may_have_the_prefix_too() {
    let variables = [
        ("REDIS_PROXY_CONFIG", FILE.into()),
        ("CONFIG", "/nope".into()),
    ];
    let nine = Config {
        capacity: 9,
        ..Config::default()
    };
    assert_eq!(
        invoke_os(&[], &variables, "capacity = 9"),
        Ok(Invocation::Run(Box::new(nine)))
    );
}

#[test]
fn a_variable_that_tells_where_a_service_is_is_left_alone() {
    let links = [
        ("METRICS_PORT", "tcp://10.96.0.12:9001"),
        ("PORT", "udp://10.96.0.12:53"),
        ("REDIS_PROXY_PORT", "tcp://10.96.0.13:8001"),
    ];
    let config = from_all(&[], &links, "metrics_port = 9");
    assert_eq!((config.port, config.metrics_port), (Some(8001), 9));
    assert_eq!(
        config.left_alone,
        ["REDIS_PROXY_PORT", "PORT", "METRICS_PORT"]
    );
    let beside = [links[2], ("PORT", "1")];
    assert_eq!(from_all(&[], &beside, "").port, Some(1));
    // Where a flag overrides the variable, that is not examined.
    let config = from_all(&["--port=1", "--metrics_port=2"], &links, "");
    assert_eq!(config.left_alone, [""; 0]);
    // Where no service could have set it, it is a mistake, or a password.
    assert!(invoke(&[], &[("REDIS_HOSTNAME", "tcp://redis:6379")], "").is_err());
    let password = from_all(&[], &[("REDIS_PASSWORD", "tcp://x")], "").redis_password;
    assert_eq!(password, Some(Secret::new("tcp://x")));
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
    assert!(flags_error(&["--capacity="]).starts_with("--capacity: invalid value \"\": expected "));
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
    let given = "invalid value \"0\": expected a whole number of entries from 1 to 4294967295";
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
    let reason = "No such file or directory (os error 2)";
    assert_eq!(
        flags_error(&["--config", "/nope"]),
        format!("--config: can't read \"/nope\": {reason}")
    );
    let by_variable = error(&[], &[("CONFIG", "/no\npe")], "");
    assert_eq!(
        by_variable,
        format!("CONFIG (environment): can't read \"/no\\npe\": {reason}")
    );
}
