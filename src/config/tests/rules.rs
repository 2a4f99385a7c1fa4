//! Parsing of rules.

use super::*;
use crate::rules::{RULES_MAX, Rule};

#[track_caller]
fn rules(args: &[&str], variables: &[(&str, &str)], file: &str) -> String {
    from_all(args, variables, file).rules.to_string()
}

fn rule_error(rule: &str) -> String {
    flags_error(&["--rule", rule])
}

#[test]
fn a_rule_has_all_its_options() {
    let config = from_flags(&[
        "--rule",
        "* ttl=60000 stale=7 max_reply=1kb refresh=5000 pin touch=0 missing_ttl=0 readonly prefix=app1:",
        "--rule",
        "b deny",
        "--rule",
        "c nocache",
    ]);
    let mut rules = config.rules.iter();
    let rule = rules.next().expect("a rule");
    let milliseconds = |time| Some(Duration::from_millis(time));
    let expected = Rule {
        ttl: milliseconds(60_000),
        stale: milliseconds(7),
        max_reply: Some(1024),
        refresh: milliseconds(5000),
        pin: true,
        touch: milliseconds(0),
        missing_ttl: milliseconds(0),
        readonly: true,
        prefix: Some("app1:".into()),
        ..Rule::new(crate::rules::Pattern::new(b"*"))
    };
    assert_eq!(*rule, expected);
    assert!(rules.next().is_some_and(|rule| rule.deny));
    assert!(rules.next().is_some_and(|rule| rule.nocache));
    assert!(rules.next().is_none());
}

#[test]
fn a_rule_about_requests_names_its_clients() {
    let text = "* prefix=app1: listener=unix_socket user=app ; a* readonly listener=tls_port ; a deny user=b";
    let config = from_flags(&["--rule", text]);
    assert_eq!(config.rules.to_string(), text);
    assert_eq!(config.rules.of_requests().count(), 3);
    assert!(config.rules.of(b"a").is_none());
}

#[test]
fn commands_that_no_client_may_run_are_a_list() {
    let config = from_flags(&["--deny_command", "FLUSHALL, config*"]);
    assert_eq!(config.denied_commands.to_string(), "flushall,config*");
    let error = flags_error(&["--deny_command", "@admin"]);
    assert!(
        error.ends_with("expected @all, @read or @write as a kind of commands"),
        "{error}"
    );
}

#[test]
fn each_rule_of_a_source_counts_in_order() {
    let flags = ["--rule", "a pin", "--rule=b pin ; c pin"];
    assert_eq!(
        rules(&flags, &[], "rule = d pin\n"),
        "a pin ; b pin ; c pin"
    );
    let file = "rule = d pin  # a comment\ncache_ttl = 7\nrule = \"e* ttl=1\"\n";
    assert_eq!(rules(&[], &[], file), "d pin ; e* ttl=1");
    let variables = [("RULE", "f pin ; g pin")];
    assert_eq!(rules(&[], &variables, file), "f pin ; g pin");
    assert_eq!(rules(&["--rule", ""], &variables, file), "");
}

#[test]
fn a_pattern_may_have_any_byte_but_white_space() {
    assert_eq!(
        rules(&["--rule", "a;b=[\\]\"#] pin"], &[], ""),
        "a;b=[\\]\"#] pin"
    );
}

#[test]
fn a_rule_says_how_it_is_displayed() {
    let text = "a ttl=2 refresh=1 max_reply=7 pin";
    assert_eq!(rules(&["--rule", text], &[], ""), text);
}

#[test]
fn a_rule_that_makes_no_sense_is_an_error_that_says_why() {
    let options = "ttl=MS, stale=MS, nocache, max_reply=BYTES, refresh=MS, pin, touch=MS, missing_ttl=MS, deny, \
                   readonly, allow, prefix=TEXT, listener=port|tls_port|unix_socket and user=NAME";
    let cases = [
        (
            "a",
            format!("options after the pattern \"a\": some of {options}"),
        ),
        (
            "a tll=5",
            format!("one of the options {options} (in \"tll=5\")"),
        ),
        (
            "a pin=1",
            format!("one of the options {options} (in \"pin=1\")"),
        ),
        (
            "a ttl=0",
            "a whole number of milliseconds from 1 to 31536000000 (in \"ttl=0\")".to_owned(),
        ),
        ("a pin pin", "\"pin\" of \"a\" only once".to_owned()),
        ("a ttl=1 ttl=2", "\"ttl=2\" of \"a\" only once".to_owned()),
        (
            "a nocache pin",
            "for \"a\" either nocache or pin".to_owned(),
        ),
        ("a deny ttl=1", "for \"a\" either deny or ttl".to_owned()),
        (
            "a deny readonly",
            "for \"a\" either deny or readonly".to_owned(),
        ),
        (
            "a ttl=5 refresh=5",
            "for \"a\" a refresh shorter than its ttl".to_owned(),
        ),
        ("a pin ;", "a rule on both sides of each \";\"".to_owned()),
        (
            "a prefix=",
            "a prefix of 1 to 1024 bytes (in \"prefix=\")".to_owned(),
        ),
        (
            "* prefix=a*",
            "a prefix without *?[]\\ (in \"prefix=a*\")".to_owned(),
        ),
        (
            "a prefix=b:",
            "the pattern * with a prefix, not \"a\"".to_owned(),
        ),
        (
            "a allow deny",
            "for \"a\" allow without deny or readonly".to_owned(),
        ),
        (
            "a deny listener=tcp",
            "port, tls_port or unix_socket as the listener (in \"listener=tcp\")".to_owned(),
        ),
        (
            "a ttl=5 user=app",
            "for \"a\" listener and user only with deny, readonly, allow or prefix".to_owned(),
        ),
    ];
    for (rule, allowed) in cases {
        let expected = format!("--rule: invalid value {rule:?}: expected {allowed}");
        assert_eq!(rule_error(rule), expected);
    }
    assert_eq!(
        file_error("rule = a pin\nrule = b pinned\n"),
        format!(
            "{FILE}:2: rule: invalid value \"b pinned\": expected one of the options {options} (in \"pinned\")"
        )
    );
}

#[test]
fn an_entry_is_not_always_about_to_end() {
    let error = flags_error(&["--rule", "a refresh=9", "--cache_ttl", "9"]);
    assert!(
        error.contains("for \"a\" a refresh shorter than its ttl"),
        "{error}"
    );
    let config = from_flags(&["--rule", "a refresh=9 ttl=10", "--cache_ttl", "9"]);
    assert_eq!(config.rules.iter().len(), 1);
}

#[test]
fn there_are_only_so_many_rules() {
    let rules = |count| vec!["a pin"; count].join(" ; ");
    let config = from_flags(&["--rule", &rules(RULES_MAX)]);
    assert_eq!(config.rules.iter().len(), RULES_MAX);
    let error = rule_error(&rules(RULES_MAX + 1));
    assert!(error.ends_with("expected at most 256 rules"), "{error}");
}

#[test]
fn missing_ttl_is_a_time_or_none() {
    assert_eq!(from_flags(&["--missing_ttl", "none"]).missing_ttl, None);
    let given = from_flags(&["--missing_ttl", "0"]).missing_ttl;
    assert_eq!(given, Some(Duration::ZERO));
    assert_eq!(
        flags_error(&["--missing_ttl", "x"]),
        "--missing_ttl: invalid value \"x\": expected a whole number of milliseconds from 0 to 31536000000, or none"
    );
}
