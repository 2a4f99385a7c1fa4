//! The file of settings.

use super::*;

fn password(file: &str) -> String {
    let password = from_file(&format!("redis_password{file}")).redis_password;
    password
        .map(|password| password.expose().to_owned())
        .unwrap_or_default()
}

#[test]
fn a_line_is_a_name_and_a_value() {
    let config = from_file("port = 1\ncache_ttl=2\n  max-clients\t=\t3  \r\n");
    assert_eq!(
        (
            config.port,
            config.cache_ttl.as_millis(),
            config.max_clients
        ),
        (Some(1), 2, 3)
    );
}

#[test]
fn comments_and_blank_lines_set_nothing() {
    let file = "\u{feff}# first\r\n\r\n   \t\n  # port = 1\n#capacity = 2\n";
    assert_eq!(from_file(file), Config::default());
}

#[test]
fn a_comment_starts_after_white_space() {
    assert_eq!(password(" = abc # no part of it"), "abc");
    assert_eq!(password(" = abc\t#no part of it"), "abc");
    assert_eq!(password(" = abc#d"), "abc#d");
    assert_eq!(password("=#abc"), "#abc");
    assert_eq!(password(" = #abc"), "");
    assert_eq!(password(" = ü #abc"), "ü");
}

#[test]
fn a_value_in_quotes_is_taken_as_it_is() {
    assert_eq!(password(r#" = "a #b" # comment"#), "a #b");
    assert_eq!(password(r#" = "  a  ""#), "  a  ");
    assert_eq!(password(r#" = "say \"x\" \\n""#), r#"say "x" \n"#);
    assert_eq!(password(r#" = """#), "");
    assert_eq!(from_file("port = \"1\"").port, Some(1));
}

#[test]
fn quotes_and_backslashes_are_plain_in_a_value_without_quotes_round_it() {
    assert_eq!(password(r#" = a"b\c=d e"#), r#"a"b\c=d e"#);
}

#[test]
fn quotes_must_be_closed() {
    let problem = r#"the closing quote is missing; write a quote in the value as \""#;
    for value in [r#"""#, r#""abc"#, r#""abc\""#, r#""abc\"#] {
        let error = file_error(&format!("redis_password = {value}"));
        assert_eq!(error, format!("{FILE}:1: redis_password: {problem}"));
    }
}

#[test]
fn other_escapes_are_an_error() {
    let problem = r#"unknown escape in the quoted value; give \" or \\"#;
    let error = file_error(r#"redis_password = "a\n""#);
    assert_eq!(error, format!("{FILE}:1: redis_password: {problem}"));
}

#[test]
fn nothing_but_a_comment_follows_quotes() {
    let problem = "only a comment, after a space, may follow the quoted value";
    for value in [r#""a"b"#, r#""a" b"#, "\"a\"#b"] {
        let error = file_error(&format!("redis_password = {value}"));
        assert_eq!(error, format!("{FILE}:1: redis_password: {problem}"));
    }
}

#[test]
fn an_unknown_name_is_an_error_that_says_what_was_probably_meant() {
    for (name, advice) in [
        ("capasity", "did you mean capacity?"),
        ("cache-tll", "did you mean cache_ttl?"),
        ("version", "see redis-proxy --help"),
    ] {
        let expected = format!("{FILE}:4: unknown name \"{name}\"; {advice}");
        assert_eq!(file_error(&format!("\nport = 1\n\n{name} = 0\n")), expected);
    }
}

#[test]
fn a_line_that_is_no_setting_is_an_error_that_does_not_show_it() {
    let problem = "not a setting; give a line as name = value";
    for line in [
        "redis_password hunter2",
        "= hunter2",
        "hunter2 2=x",
        "port # = 1",
        "[a]",
    ] {
        let error = file_error(&format!("port = 1\n{line}"));
        assert_eq!(error, format!("{FILE}:2: {problem}"));
    }
}

#[test]
fn a_name_that_is_set_twice_is_an_error_that_names_both_lines() {
    let error = file_error("cache_ttl = 1\nport = 1\ncache-ttl = 1\n");
    assert_eq!(
        error,
        format!("{FILE}:3: cache_ttl: already set in line 1; give it once")
    );
}

#[test]
fn a_file_cant_name_another_file() {
    let error = file_error("config = /etc/other.conf");
    let problem = "a file can't name another one; remove the line";
    assert_eq!(error, format!("{FILE}:1: config: {problem}"));
}

#[test]
fn no_text_whatever_breaks_the_reader() {
    const PIECES: &[&str] = &[
        "redis_password",
        "port",
        "=",
        "\"",
        "\\",
        "#",
        " ",
        "\t",
        "\n",
        "\r",
        "\u{85}",
        "ü",
        "1",
        "config",
        "\u{feff}",
        "\0",
    ];
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..5_000 {
        let file: String = (0..random.usize(1..12))
            .filter_map(|_| random.choice(PIECES))
            .copied()
            .collect();
        if let Err(error) = invoke(&[], &[], &file) {
            assert!(
                !error.to_string().contains(char::is_control),
                "{error} from {file:?}"
            );
        }
    }
}
