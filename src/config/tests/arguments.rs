//! How flags are written, and what the help says.

use std::os::unix::ffi::OsStringExt;

use super::*;

#[test]
fn every_flag_is_accepted_in_its_four_spellings() {
    for (name, value) in SAMPLES {
        let password = beside(name);
        let without = invoke(&[], &password, "");
        let underscores = format!("--{name}");
        let dashes = underscores.replace('_', "-");
        let expected = from_all(&[&underscores, value], &password, "");
        let with = Invocation::Run(Box::new(expected.clone()));
        assert_ne!(Ok(with), without, "{name}");
        assert_eq!(from_all(&[&dashes, value], &password, ""), expected);
        assert_eq!(
            from_all(&[&format!("{underscores}={value}")], &password, ""),
            expected
        );
        assert_eq!(
            from_all(&[&format!("{dashes}={value}")], &password, ""),
            expected
        );
    }
}

#[test]
fn a_value_is_never_altered() {
    for value in [
        "a_b-c=d",
        "-x",
        "--x",
        "--cache-ttl",
        "--help",
        "=",
        " a b ",
        "\"#\"",
        "ü\n",
    ] {
        let password = Some(Secret::new(value));
        assert_eq!(
            from_flags(&["--redis_password", value]).redis_password,
            password
        );
        let attached = format!("--redis-password={value}");
        assert_eq!(from_flags(&[&attached]).redis_password, password);
    }
}

#[test]
fn the_last_of_two_flags_wins_whatever_their_spelling() {
    let config = from_flags(&[
        "--capacity",
        "0",
        "--cache-ttl=1",
        "--capacity=5",
        "--cache_ttl=2",
    ]);
    assert_eq!(config.capacity, 5);
    assert_eq!(config.cache_ttl, Duration::from_millis(2));
}

#[test]
fn an_unknown_flag_is_named_without_its_value() {
    assert_eq!(
        flags_error(&["--nonsense=1"]),
        "--nonsense: unknown flag; see redis-proxy --help"
    );
    assert_eq!(
        flags_error(&["--"]),
        "--: unknown flag; see redis-proxy --help"
    );
    assert_eq!(
        flags_error(&["--no\nsense"]),
        "--no\\nsense: unknown flag; see redis-proxy --help"
    );
}

#[test]
fn a_flag_with_a_slip_is_answered_with_the_right_one() {
    let meant = |flag: &str, name: &str| {
        let error = flags_error(&[flag]);
        let expected = format!("unknown flag; did you mean --{name}? See redis-proxy --help");
        assert_eq!(error, format!("{flag}: {expected}"));
    };
    meant("--capasity", "capacity");
    meant("--redis-pasword", "redis_password");
    meant("--cachettl", "cache_ttl");
    meant("--confg", "config");
    meant("--halp", "help");
}

#[test]
fn a_flag_without_its_value_is_an_error() {
    let expected = "--cache_ttl: missing value; see redis-proxy --help";
    assert_eq!(flags_error(&["--cache_ttl"]), expected);
    assert_eq!(flags_error(&["--port", "1", "--cache-ttl"]), expected);
}

#[test]
fn an_argument_that_is_no_flag_is_an_error() {
    let expected = |what: &str| format!("{what} is not a flag; see redis-proxy --help");
    assert_eq!(flags_error(&["serve"]), expected("argument 1: \"serve\""));
    assert_eq!(
        flags_error(&["--port", "1", "-p"]),
        expected("argument 3: \"-p\"")
    );
    assert_eq!(
        flags_error(&["--port=1", "x=y\n"]),
        expected("argument 2: \"x=y\\n\"")
    );
    assert_eq!(flags_error(&[""]), expected("argument 1: \"\""));
}

#[test]
fn a_value_that_is_not_utf8_is_an_error_that_names_the_flag() {
    let error = |args: &[&[u8]]| {
        let args: Vec<OsString> = args
            .iter()
            .map(|arg| OsString::from_vec(arg.to_vec()))
            .collect();
        invoke_os(&args, &[], "")
            .expect_err("a configuration")
            .to_string()
    };
    assert_eq!(
        error(&[b"--port", b"\xff"]),
        "--port: the value is not UTF-8"
    );
    assert_eq!(
        error(&[b"--redis-hostname=\xff"]),
        "--redis_hostname: the value is not UTF-8"
    );
    assert_eq!(
        error(&[b"--\xff"]),
        "--\u{fffd}: unknown flag; see redis-proxy --help"
    );
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = format!("redis-proxy {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(printed(&["--version"]), version);
    assert_eq!(printed(&["-V"]), version);
}

#[test]
fn help_and_version_need_nothing_else_to_be_right() {
    for flag in ["--help", "-h", "--version", "-V"] {
        assert!(printed(&["--capacity", "0", flag, "--nonsense"]).ends_with('\n'));
        let with_value = flags_error(&[&format!("{flag}=1")]);
        assert_eq!(with_value, format!("{flag}: takes no value"));
    }
}

#[test]
fn the_help_has_a_line_for_every_setting_with_its_default() {
    let help = printed(&["--help"])
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for setting in SETTINGS {
        let flag = format!(" --{} ", setting.name);
        let (_, after) = help.split_once(&flag).unwrap_or_else(|| panic!("{flag}"));
        let (_, default) = after
            .split_once("(default ")
            .unwrap_or_else(|| panic!("{flag}"));
        let (default, _) = default.split_once(')').unwrap_or_else(|| panic!("{flag}"));
        let default = if default == "none" { "" } else { default };
        assert_eq!(
            from_flags(&[&format!("--{}={default}", setting.name)]),
            Config::default()
        );
    }
}

#[test]
fn the_help_fits_a_terminal_of_80_columns() {
    for line in printed(&["--help"]).lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn the_help_has_an_example_that_works() {
    let help = printed(&["-h"]);
    let example = help
        .lines()
        .find_map(|line| line.strip_prefix("  redis-proxy "))
        .expect("an example");
    let args: Vec<&str> = example.split(' ').collect();
    assert_ne!(from_flags(&args), Config::default());
}
