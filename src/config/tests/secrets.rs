//! A password is not shown, and leaves the command line.

use super::super::secret::without_secrets;
use super::*;

type Variables = Vec<(String, String)>;

fn os(args: &[&str]) -> Vec<OsString> {
    args.iter().map(OsString::from).collect()
}

/// The remaining arguments and the variables that are set, as text.
fn hidden(args: &[&str]) -> Option<(Vec<String>, Variables)> {
    let hidden = without_secrets(&os(args))?;
    let args = hidden
        .args
        .into_iter()
        .map(|arg| arg.into_string().expect("UTF-8"))
        .collect();
    Some((args, hidden.variables))
}

fn password_variable(value: &str) -> Variables {
    [
        ("REDIS_PROXY_REDIS_PASSWORD", value),
        ("REDIS_PROXY_MOVED_FLAGS", "redis_password"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

#[test]
fn no_output_of_a_configuration_has_the_password() {
    let config = from_flags(&["--redis_username=alice", "--redis_password=hunter2"]);
    let shown = format!("{config:?} {config:#?} {}", config.summary());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains(" redis_password=<hidden> "), "{shown}");
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret} {secret:?}"), "<hidden> <hidden>");
    assert_eq!(secret.expose(), "hunter2");
}

#[test]
fn no_error_has_the_password() {
    for args in [
        &["--redis_password", "hunter2", "--capacity=0"][..],
        &["--redis_password=hunter2", "--capacity"],
        &["--redis_pasword=hunter2"],
        &["--redis_pasword", "hunter2"],
        &["-redis_password", "hunter2"],
        &["redis_password", "hunter2"],
        &["--redis_password", "a", "hunter2"],
        &["--redis_password=a", "-hunter2"],
        &["--help=hunter2"],
    ] {
        let error = invoke(args, &[], "").expect_err("a configuration");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn a_password_with_a_space_that_nobody_quoted_is_not_shown() {
    let error = flags_error(&["--redis_password", "correct", "horse"]);
    assert_eq!(
        error,
        "argument 3: <hidden> is not a flag; see redis-proxy --help"
    );
}

#[test]
fn a_user_name_needs_a_password() {
    let problem = "\"alice\" needs a password; give redis_password as well";
    let by_flag = flags_error(&["--redis_username=alice"]);
    assert_eq!(by_flag, format!("--redis_username: {problem}"));
    let by_variable = error(
        &[],
        &[("REDIS_USERNAME", "alice"), ("REDIS_PASSWORD", "")],
        "",
    );
    assert_eq!(
        by_variable,
        format!("REDIS_USERNAME (environment): {problem}")
    );
    let by_file = file_error("redis_username = alice\nredis_password = \"\"");
    assert_eq!(by_file, format!("{FILE}:1: redis_username: {problem}"));
    let apart = from_all(&["--redis_username=alice"], &[("REDIS_PASSWORD", "p")], "");
    assert_eq!(apart.redis_username.as_deref(), Some("alice"));
}

#[test]
fn a_password_among_the_arguments_moves_to_the_environment() {
    for spelling in [
        &["--port", "1", "--redis_password", "a_b-c=d", "--capacity=2"][..],
        &["--port", "1", "--redis-password", "a_b-c=d", "--capacity=2"],
        &["--port", "1", "--redis_password=a_b-c=d", "--capacity=2"],
        &["--port", "1", "--redis-password=a_b-c=d", "--capacity=2"],
    ] {
        let (args, variables) = hidden(spelling).expect("a password to hide");
        assert_eq!(args, ["--port", "1", "--capacity=2"]);
        assert_eq!(variables, password_variable("a_b-c=d"));
    }
}

#[test]
fn an_error_names_the_flag_that_was_moved() {
    let (args, variables) = hidden(&["--redis_url", "http://:hunter2@a"]).expect("a secret");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let error = error(&args, &variables, "");
    assert!(error.starts_with("--redis_url: invalid value"), "{error}");
}

#[test]
fn of_two_passwords_both_leave_and_the_last_counts() {
    let (args, variables) = hidden(&["--redis_password=a", "--redis_password", "b"]).expect("two");
    assert!(args.is_empty());
    assert_eq!(variables, password_variable("b"));
}

#[test]
fn an_empty_password_that_counts_stays_as_a_flag() {
    let args = ["--redis_password", "a", "--port=1", "--redis-password", ""];
    let (args, variables) = hidden(&args).expect("the first one to hide");
    assert_eq!(args, ["--port=1", "--redis_password="]);
    assert!(variables.is_empty());
}

#[test]
fn nothing_moves_where_there_is_no_password() {
    for args in [
        &[][..],
        &["--port", "1"],
        &["--redis_password", ""],
        &["--redis_username", "--redis_password", "--port", "1"],
    ] {
        assert!(hidden(args).is_none(), "{args:?}");
    }
}

#[test]
fn nothing_moves_where_the_process_ends_at_once() {
    assert!(hidden(&["--redis_password=a", "--help"]).is_none());
    assert!(hidden(&["--redis_password=a", "--version"]).is_none());
    assert!(hidden(&["--redis_password=a", "--nonsense"]).is_none());
    assert!(hidden(&["--redis_password"]).is_none());
}

#[test]
fn the_configuration_is_the_same_after_the_move_and_there_is_nothing_left_to_move() {
    let file = "redis_password = from_the_file";
    for args in [
        &["--redis_password=a"][..],
        &[
            "--redis_password",
            "a",
            "--redis_password",
            "b",
            "--capacity=3",
        ],
        &["--redis_password=a", "--redis_password="],
        &[
            "--redis_username=",
            "--redis-password",
            "--port",
            "--port=3",
        ],
    ] {
        let (moved, variables) = hidden(args).expect("a password to hide");
        let moved: Vec<&str> = moved.iter().map(String::as_str).collect();
        for variable in ["REDIS_PASSWORD", "REDIS_PROXY_REDIS_PASSWORD"] {
            let before = (variable, "from_the_environment");
            let set = variables.iter().map(|(name, value)| (&**name, &**value));
            let after: Vec<_> = set.chain([before]).collect();
            assert_eq!(
                from_all(&moved, &after, file),
                from_all(args, &[before], file),
                "{args:?}"
            );
        }
        assert!(hidden(&moved).is_none(), "{args:?}");
    }
}

#[test]
fn a_password_may_be_in_a_file() {
    for (flag, of) in [
        (
            "--password_file",
            (|config| config.password) as fn(Config) -> Option<Secret>,
        ),
        ("--redis_password_file", |config| config.redis_password),
        ("--redis_sentinel_password_file", |config| {
            config.redis_sentinel_password
        }),
    ] {
        let sentinels = ["--redis_sentinels=s", "--redis_sentinel_master=m"];
        let config = from_flags(&[&sentinels[..], &[flag, SECRET_FILE]].concat());
        assert_eq!(of(config), Some(Secret::new("from a file")), "{flag}");
    }
    for (content, password) in [
        ("p", "p"),
        ("p\n", "p"),
        ("p\r\n", "p"),
        ("p\n\n", "p\n"),
        (" p ", " p "),
    ] {
        let config = in_file(content).expect("a password");
        assert_eq!(config.redis_password, Some(Secret::new(password)));
    }
    let user = from_flags(&[
        "--redis_username=alice",
        "--redis_password_file",
        SECRET_FILE,
    ]);
    assert_eq!(user.redis_username.as_deref(), Some("alice"));
}

/// The configuration with a password from a file with this content.
fn in_file(content: &str) -> Result<Config, String> {
    let args = os(&["--redis_password_file", "/secret"]);
    let content = content.to_owned();
    match load(&args, &|_| None, &|_| Ok(content.clone())) {
        Ok(Invocation::Run(config)) => Ok(*config),
        Ok(Invocation::Print(text)) => panic!("printed {text}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_file_that_holds_no_password_is_an_error_that_shows_nothing_of_it() {
    let empty = "--redis_password_file: \"/secret\" is empty; give a file with the password";
    for content in ["", "\n", "\r\n"] {
        assert_eq!(in_file(content).expect_err("empty"), empty);
    }
    assert_eq!(
        flags_error(&["--password_file", "/nope"]),
        "--password_file: can't read \"/nope\": No such file or directory (os error 2)"
    );
}

#[test]
fn a_password_and_a_file_for_it_are_one_too_many() {
    let problem = "the password is set too; give only one";
    assert_eq!(
        flags_error(&["--redis_password_file", SECRET_FILE, "--redis_password=a"]),
        format!("--redis_password_file: {problem}")
    );
    let variables = [("PASSWORD_FILE", SECRET_FILE)];
    assert_eq!(
        error(&[], &variables, "password = a"),
        format!("PASSWORD_FILE (environment): {problem}")
    );
    // Either can be removed.
    let config = from_all(&["--password="], &variables, "password = a");
    assert_eq!(config.password, Some(Secret::new("from a file")));
    let config = from_all(&["--password_file="], &variables, "password = a");
    assert_eq!(config.password, Some(Secret::new("a")));
}
