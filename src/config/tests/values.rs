//! The check of each setting.

use super::*;

/// Checks the values of `name` that are accepted and those that aren't, and the message for the latter.
#[track_caller]
fn check(name: &str, accepted: &[&str], refused: &[&str], allowed: &str) {
    for value in accepted {
        from_flags(&[&format!("--{name}={value}")]);
    }
    for value in refused {
        let error = flags_error(&[&format!("--{name}"), value]);
        assert_eq!(
            error,
            format!("--{name}: invalid value {value:?}: expected {allowed}")
        );
    }
}

/// Not whole numbers, whatever the bounds.
const NO_NUMBERS: [&str; 11] = [
    "",
    "abc",
    "-1",
    "+5",
    "1.5",
    "1e3",
    " 5",
    "5 ",
    "0x10",
    "5\n",
    "99999999999999999999999",
];

#[track_caller]
fn check_number(name: &str, accepted: &[&str], outside: &[&str], allowed: &str) {
    check(name, accepted, &NO_NUMBERS, allowed);
    check(name, &[], outside, allowed);
}

#[test]
fn bind_is_an_ip_address() {
    check(
        "bind",
        &["0.0.0.0", "127.0.0.1", "::", "::1", "fe80::1"],
        &[
            "localhost",
            "",
            "[::1]",
            "127.0.0.1:8001",
            "256.0.0.1",
            "127.1",
        ],
        "an IP address such as 127.0.0.1, 0.0.0.0 or ::",
    );
}

#[test]
fn port_is_a_port_or_0_or_none() {
    let allowed = "a whole number from 0 to 65535, or none";
    check_number("port", &["0", "1", "65535", "08001"], &["65536"], allowed);
}

#[test]
fn cache_period_is_a_millisecond_to_an_hour() {
    let allowed = "a whole number of milliseconds from 1 to 3600000";
    check_number(
        "cache_period",
        &["1", "3600000"],
        &["0", "3600001"],
        allowed,
    );
}

#[test]
fn cache_ttl_is_a_millisecond_to_a_year() {
    let allowed = "a whole number of milliseconds from 1 to 31536000000";
    check_number(
        "cache_ttl",
        &["1", "31536000000"],
        &["0", "31536000001"],
        allowed,
    );
}

#[test]
fn capacity_is_at_least_one_entry() {
    let allowed = "a whole number of entries from 1 to 4294967295";
    check_number(
        "capacity",
        &["1", "4294967295"],
        &["0", "4294967296"],
        allowed,
    );
}

#[test]
fn max_clients_is_one_to_a_million() {
    let allowed = "a whole number of clients from 1 to 1000000";
    check_number("max_clients", &["1", "1000000"], &["0", "1000001"], allowed);
}

#[test]
fn redis_database_is_not_negative() {
    let allowed = "a whole number from 0 to 2147483647";
    check_number(
        "redis_database",
        &["0", "2147483647"],
        &["2147483648"],
        allowed,
    );
}

#[test]
fn cached_databases_are_all_or_none_or_numbers_and_ranges() {
    for (text, shown, has) in [
        ("all", "all", [true, true, true]),
        ("NONE", "none", [false, false, false]),
        ("3", "3", [false, true, false]),
        (
            " 0 , 2-9,2147483647",
            "0,2-9,2147483647",
            [true, true, false],
        ),
        ("4-4", "4", [false, false, false]),
    ] {
        let config = from_flags(&[&format!("--cached_databases={text}")]);
        let databases = config.cached_databases;
        assert_eq!(databases.to_string(), shown);
        assert_eq!([0, 3, 10].map(|database| databases.has(database)), has);
    }
    let allowed = "all, none, or numbers and ranges with commas between them, such as 0,2,8-15";
    let refused = ["", "x", "-1", "1,", "3-2", "1-2-3", "2147483648", "all,1"];
    check("cached_databases", &[], &refused, allowed);
}

#[test]
fn redis_timeout_is_a_millisecond_to_an_hour() {
    let allowed = "a whole number of milliseconds from 1 to 3600000";
    check_number(
        "redis_timeout",
        &["1", "3600000"],
        &["0", "3600001"],
        allowed,
    );
}

#[test]
fn redis_wait_is_nothing_to_an_hour() {
    let allowed = "a whole number of milliseconds from 0 to 3600000";
    check_number("redis_wait", &["0", "3600000"], &["3600001"], allowed);
}

#[test]
fn max_memory_has_the_units_of_redis() {
    let bytes = |text: &str| from_flags(&["--max_memory", text]).max_memory;
    assert_eq!(bytes("0"), 0);
    assert_eq!(bytes("12"), 12);
    assert_eq!(bytes("12b"), 12);
    assert_eq!(bytes("3k"), 3_000);
    assert_eq!(bytes("3kb"), 3_072);
    assert_eq!(bytes("3m"), 3_000_000);
    assert_eq!(bytes("3mb"), 3_145_728);
    assert_eq!(bytes("3g"), 3_000_000_000);
    assert_eq!(bytes("3gb"), 3_221_225_472);
    assert_eq!(bytes("64Mb"), bytes("64mB"));
    assert_eq!(bytes(&usize::MAX.to_string()), usize::MAX);
}

#[test]
fn max_memory_is_a_whole_number_that_fits() {
    check(
        "max_memory",
        &[],
        &[
            "",
            "mb",
            "-1",
            "1.5gb",
            "64 mb",
            "64mib",
            "64t",
            "64bk",
            "18446744073709551616",
            "17179869184gb",
        ],
        "a size in bytes, such as 67108864 or 64mb (units k, kb, m, mb, g, gb); 0 for no limit",
    );
}

#[test]
fn redis_hostname_is_a_host_with_or_without_a_port() {
    let address = |text: &str| {
        let redis = from_flags(&["--redis_hostname", text]).redis;
        match redis {
            RedisAddress::Tcp { host, port } => (host, port),
            address => panic!("{address}"),
        }
    };
    assert_eq!(address("redis.example"), ("redis.example".to_owned(), 6379));
    assert_eq!(address("redis.example:1"), ("redis.example".to_owned(), 1));
    assert_eq!(
        address("my_redis-1:65535"),
        ("my_redis-1".to_owned(), 65535)
    );
    assert_eq!(address("10.0.0.1:7000"), ("10.0.0.1".to_owned(), 7000));
    assert_eq!(address("[::1]"), ("::1".to_owned(), 6379));
    assert_eq!(address("::1"), ("::1".to_owned(), 6379));
    assert_eq!(
        address("2001:db8::6379"),
        ("2001:db8::6379".to_owned(), 6379)
    );
    assert_eq!(address("[::1]:7000"), ("::1".to_owned(), 7000));
    assert_eq!(
        address("[fe80::1%eth0]:7000"),
        ("fe80::1%eth0".to_owned(), 7000)
    );
}

#[test]
fn redis_hostname_is_nothing_else() {
    let long = "a".repeat(254);
    check(
        "redis_hostname",
        &[],
        &[
            "",
            ":",
            ":6379",
            "a:",
            "a:0",
            "a:65536",
            "a:b",
            "a:+1",
            "a:1:2",
            "[::1",
            "::1]",
            "[]",
            "[a]",
            "[::1]7000",
            "[::1]:",
            "[::1%]",
            "redis://a:6379",
            "a/b",
            "a b",
            "a\n",
            "ü",
            &long,
        ],
        "HOST or HOST:PORT, with brackets round an IPv6 address, such as localhost:6379 or \
         [::1]:6379",
    );
}

#[test]
fn log_level_is_a_name_in_any_case() {
    check(
        "log_level",
        &["off", "error", "warn", "INFO", "Debug", "trace"],
        &["", "warning", "3", "info "],
        "off, error, warn, info, debug or trace",
    );
    assert_eq!(
        from_flags(&["--log_level=OFF"]).log_level,
        log::LevelFilter::Off
    );
}

#[test]
fn log_format_is_text_or_json_in_any_case() {
    check(
        "log_format",
        &["text", "TEXT", "json", "Json"],
        &["", "yaml", "json ", "logfmt"],
        "text or json",
    );
    assert_eq!(from_flags(&["--log_format=JSON"]).log_format, Format::Json);
}

#[test]
fn every_log_level_shows_as_it_is_written() {
    for name in ["off", "error", "warn", "info", "debug", "trace"] {
        let summary = from_flags(&["--log_level", name]).summary();
        assert!(
            summary.contains(&format!(" log_level={name} ")),
            "{summary}"
        );
    }
}

#[test]
fn a_value_with_control_characters_stays_on_one_line() {
    let error = flags_error(&["--capacity", "1\n\u{1b}[2J\u{2028}\r\0"]);
    let (origin, rest) = error.split_once(": expected").expect("an error");
    assert_eq!(
        origin,
        r#"--capacity: invalid value "1\n\u{1b}[2J\u{2028}\r\0""#
    );
    assert!(!rest.contains(char::is_control));
}
