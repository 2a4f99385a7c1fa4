//! Which row a request gets, depending on what Redis described.

use super::super::{Fields, Here, Writes, Written};
use super::*;
use crate::resp::request::{Parsed, Parser};

fn spec(name: &str) -> Spec {
    Spec {
        name: name.as_bytes().into(),
        writes: false,
        reads_only: false,
        blocks: false,
        no_auth: false,
        no_script: false,
        movable_keys: false,
        is_random: false,
        spread: None,
        keys: (0, 0, 0),
    }
}

/// A table for a Redis that describes commands of these names, without flags.
fn told(names: &[&str]) -> Table {
    Table::new(&names.iter().copied().map(spec).collect::<Vec<_>>())
}

/// A table for Redis 7.0.
fn told_with_subcommands() -> Table {
    told(&[
        "get",
        "multi",
        "select",
        "client",
        "client|list",
        "client|tracking",
        "xinfo",
        "xinfo|help",
    ])
}

/// The row for a request, given inline.
fn find(table: &Table, inline: &str) -> Result<Row, NotFound> {
    let line = format!("{inline}\r\n");
    match Parser::new().parse(line.as_bytes()) {
        Ok(Parsed::Request { request, .. }) => table.find(&request),
        other => panic!("{other:?}"),
    }
}

fn way(table: &Table, inline: &str) -> Way {
    find(table, inline).expect("a row").way
}

#[track_caller]
fn assert_unknown(table: &Table, inline: &str, name: &str) {
    let expected = Err(NotFound::Unknown(name.as_bytes().into()));
    assert_eq!(find(table, inline), expected, "{inline}");
}

#[track_caller]
fn assert_no_name(table: &Table, inline: &str, message: &str) {
    match find(table, inline) {
        Err(NotFound::NoName(refusal)) => {
            assert_eq!(
                String::from_utf8_lossy(&refusal.message),
                message,
                "{inline}"
            );
        }
        other => panic!("{inline}: {other:?}"),
    }
}

#[test]
fn redis_is_asked_for_what_it_has_not_told_of() {
    let table = told_with_subcommands();
    assert_unknown(&table, "FOO", "foo");
    assert_unknown(&table, "Json.Get k", "json.get");
    assert_unknown(&table, "CLIENT CAPA redirect", "client|capa");
    assert_unknown(&table, "XINFO new", "xinfo|new");
    let long = "n".repeat(NAME_MAX);
    assert_eq!(find(&table, &long), Ok(UNKNOWN));
    assert_eq!(find(&table, &format!("CLIENT {long}")), Ok(UNKNOWN));
}

#[test]
fn a_name_that_no_command_has_is_refused_without_asking() {
    let table = told_with_subcommands();
    let command = |name: &str| format!("ERR unknown command '{name}', with args beginning with: ");
    assert_no_name(&table, r#""MULTI\x007""#, &command("MULTI"));
    assert_no_name(&table, r#""""#, &command(""));
    assert_no_name(&table, r#""multi ""#, &command("multi "));
    assert_no_name(&table, "CLIENT|TRACKING", &command("CLIENT|TRACKING"));
    assert_no_name(
        &table,
        r#""SELECT\x001" "5\x00" 6"#,
        "ERR unknown command 'SELECT', with args beginning with: '5' '6' ",
    );
    let subcommand = "ERR unknown subcommand 'TRACKING'. Try CLIENT HELP.";
    assert_no_name(&table, r#"client "TRACKING\x001" OFF"#, subcommand);
    assert_no_name(
        &table,
        "client a|b",
        "ERR unknown subcommand 'a|b'. Try CLIENT HELP.",
    );
    assert_no_name(
        &table,
        "UPSTREAM x",
        "ERR unknown subcommand 'x'. Try UPSTREAM HELP.",
    );
}

#[test]
fn an_older_redis_has_older_words() {
    let table = told(&["get", "client"]);
    let message = "ERR unknown command `MULTI`, with args beginning with: `a`, `b`, ";
    assert_no_name(&table, r#""MULTI\x007" a b"#, message);
    let message =
        "ERR Unknown subcommand or wrong number of arguments for 'LIST'. Try CLIENT HELP.";
    assert_no_name(&table, r#"client "LIST\x007" a b"#, message);
}

#[test]
fn subcommands_that_an_older_redis_does_not_tell_go_the_way_of_their_command() {
    let table = told(&["get", "client", "script", "config"]);
    assert_eq!(way(&table, "CONFIG GET x"), Way::Forward);
    assert_eq!(way(&table, "SCRIPT LOAD x"), Way::Forward);
    assert_eq!(way(&table, "SCRIPT NEW x"), Way::Dedicated);
    assert_eq!(way(&table, "CLIENT LIST"), Way::Forward);
    assert_eq!(way(&table, "CLIENT NEW"), Way::Dedicated);
    // It is too old for these, and answers each with an error.
    assert_eq!(way(&table, "CLIENT SETINFO LIB-NAME x"), Way::Forward);
    assert_eq!(way(&table, "HELLO 3"), Way::Forward);
    assert_eq!(way(&table, "CLIENT INFO"), Way::Forward);
    let table = told(&["get", "getdel", "client"]);
    assert_eq!(way(&table, "CLIENT INFO"), Way::Here(Here::ClientInfo));
    assert_eq!(way(&table, "CLIENT NO-EVICT on"), Way::Forward);
}

#[test]
fn a_redis_that_tells_nothing_is_taken_for_a_7_0() {
    let table = Table::default();
    assert_eq!(way(&table, "LPUSH k v"), Way::Forward);
    assert_eq!(way(&table, "CONFIG GET x"), Way::Forward);
    assert_eq!(
        way(&table, "CLIENT SETINFO LIB-NAME x"),
        Way::Here(Here::ClientSetinfo)
    );
    for unknown in [
        "FOO",
        "CLIENT CAPA redirect",
        "CLUSTER SYNCSLOTS",
        "SCRIPT NEW",
    ] {
        assert_eq!(way(&table, unknown), Way::Dedicated, "{unknown}");
    }
}

#[test]
fn what_redis_describes_is_found() {
    let mut table = told_with_subcommands();
    let json = Spec {
        reads_only: true,
        ..spec("json.get")
    };
    assert!(table.learn_one(b"json.get", &[json]));
    let row = find(&table, "JSON.GET k").expect("a row");
    assert_eq!((row.way, row.reads_only), (Way::Forward, true));
    assert_eq!(table.name(row.number), b"json.get");

    assert!(table.learn_one(b"new", &[spec("new"), spec("new|sub")]));
    assert_eq!(way(&table, "NEW SUB"), Way::Forward);
    assert_unknown(&table, "NEW OTHER", "new|other");
    assert!(!table.learn_one(b"foo", &[]));
}

#[test]
fn what_may_leave_state_on_a_connection_has_a_dedicated_one() {
    let mut table = told_with_subcommands();
    let script = |name| Spec {
        no_script: true,
        ..spec(name)
    };
    let auth = |name| Spec {
        no_auth: true,
        ..spec(name)
    };
    for described in [
        spec("client|capa"),
        spec("cluster|syncslots"),
        spec("script|new"),
        script("my.subscribe"),
        auth("my.auth"),
        Spec {
            blocks: true,
            ..spec("my.wait")
        },
        spec("debug|new"),
    ] {
        let name = String::from_utf8_lossy(&described.name).into_owned();
        assert!(table.learn_one(name.as_bytes(), &[described]));
        assert_eq!(
            way(&table, &name.replace('|', " ")),
            Way::Dedicated,
            "{name}"
        );
    }
    for harmless in [
        script("config|set"),
        script("latency|new"),
        script("script|load"),
        spec("cluster|slots"),
    ] {
        let name = String::from_utf8_lossy(&harmless.name).into_owned();
        assert!(table.learn_one(name.as_bytes(), &[harmless]));
        assert_eq!(way(&table, &name.replace('|', " ")), Way::Forward, "{name}");
    }
}

#[test]
fn a_command_that_was_renamed_keeps_its_row() {
    let mut table = told_with_subcommands();
    assert!(table.learn_one(b"begin", &[spec("multi")]));
    assert_eq!(find(&table, "BEGIN"), find(&table, "MULTI"));
    assert_eq!(table.original_name(b"Begin"), b"multi");
    assert_eq!(table.original_name(b"MULTI"), b"MULTI");
    // The proxy's own requests would need the old name.
    assert!(table.learn_one(b"fetch", &[spec("get")]));
    assert_eq!(way(&table, "FETCH k"), Way::Dedicated);
    assert!(table.learn_one(b"pick", &[spec("select")]));
    assert_eq!(way(&table, "PICK 0"), Way::Dedicated);
}

#[test]
fn a_command_that_was_renamed_keeps_its_subcommands() {
    let mut table = told_with_subcommands();
    assert!(table.learn_one(b"visitor", &[spec("client"), spec("client|list")]));
    assert_eq!(way(&table, "VISITOR LIST"), Way::Forward);
    assert_eq!(way(&table, "VISITOR TRACKING ON"), Way::Dedicated);
    assert_unknown(&table, "VISITOR CAPA", "visitor|capa");
    assert!(table.learn_one(b"visitor|capa", &[spec("client|capa")]));
    assert_eq!(way(&table, "VISITOR CAPA"), Way::Dedicated);
    let message = "ERR unknown subcommand 'LIST'. Try VISITOR HELP.";
    assert_no_name(&table, r#"VISITOR "LIST\x00""#, message);
}

#[test]
fn a_description_of_something_else_is_none() {
    let mut table = told_with_subcommands();
    assert!(!table.learn_one(b"client|capa", &[spec("client|other")]));
    assert!(!table.learn_one(b"foo|bar", &[spec("client|list")]));
    assert!(!table.learn_one(b"foo", &[spec("client|list")]));
    assert_unknown(&table, "CLIENT CAPA", "client|capa");
    assert_unknown(&table, "FOO", "foo");
}

#[test]
fn all_that_redis_tells_anew_replaces_what_it_told_before() {
    let mut table = told_with_subcommands();
    assert!(table.learn_one(b"begin", &[spec("multi")]));
    assert!(table.learn_one(b"json.get", &[spec("json.get")]));
    let number = find(&table, "JSON.GET k").expect("a row").number;
    table.learn(&[spec("multi"), spec("client"), spec("client|list")]);
    assert_unknown(&table, "BEGIN", "begin");
    assert_unknown(&table, "JSON.GET k", "json.get");
    assert!(table.learn_one(b"json.get", &[spec("json.get")]));
    assert_eq!(find(&table, "JSON.GET k").expect("a row").number, number);
}

#[test]
fn what_a_hostile_redis_tells_is_bounded() {
    let mut table = told_with_subcommands();
    let many: Vec<Spec> = (0..ROWS_MAX).map(|n| spec(&format!("c{n}"))).collect();
    assert!(!table.learn_one(b"c0", &many));
    for round in 0..10 {
        let many: Vec<Spec> = (0..10_000)
            .map(|n| spec(&format!("r{round}.{n}")))
            .collect();
        table.learn(&many);
    }
    assert!(table.gone.len() <= usize::from(u16::MAX));
    assert_eq!(way(&table, "r9.9999"), Way::Forward);
}

#[test]
fn a_browser_is_recognised_whatever_stands_behind_its_words() {
    for table in [
        told_with_subcommands(),
        told(&["post", "host:"]),
        Table::default(),
    ] {
        for line in [
            "POST / HTTP/1.1",
            "pOsT",
            "Host: localhost:6379",
            r#""host:\x00x""#,
            r#""post\x00""#,
        ] {
            assert_eq!(way(&table, line), Way::Abort, "{line}");
        }
    }
}

#[test]
fn words_among_the_arguments_end_at_a_nul() {
    let table = Table::default();
    let row = find(&table, "XREAD").expect("a row");
    let blocks = |line: &str| match Parser::new().parse(format!("{line}\r\n").as_bytes()) {
        Ok(Parsed::Request { request, .. }) => row.way(&request) == Way::Dedicated,
        other => panic!("{other:?}"),
    };
    assert!(blocks(r#"XREAD "bLoCk\x00x" 0 STREAMS s $"#));
    assert!(!blocks("XREAD COUNT 1 STREAMS s 0"));
    let line = b"SORT l \"Store\\x00x\" destination\r\n";
    match Parser::new().parse(line) {
        Ok(Parsed::Request { request, .. }) => {
            let written = super::super::written(&request, Writes::Stored);
            assert_eq!(written, Some(Written::Key(b"destination")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_are_counted_where_an_argument_says_how_many_there_are() {
    for (line, position, keys) in [
        ("LMPOP 2 a b LEFT", 1, &["a", "b"][..]),
        ("BZMPOP 0.5 1 a MAX", 2, &["a"]),
        ("LMPOP 9 a LEFT", 1, &["a", "LEFT"]),
        ("LMPOP -1 a LEFT", 1, &[]),
        ("LMPOP x a LEFT", 1, &[]),
        ("LMPOP", 1, &[]),
    ] {
        match Parser::new().parse(format!("{line}\r\n").as_bytes()) {
            Ok(Parsed::Request { request, .. }) => {
                let written = super::super::written(&request, Writes::Counted(position));
                let expected = keys.iter().map(|key| key.as_bytes()).collect();
                assert_eq!(written, Some(expected), "{line}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn where_fields_of_hashes_expire_it_is_known_what_is_read_of_them() {
    let read = |name| Spec {
        reads_only: true,
        keys: (1, 1, 1),
        ..spec(name)
    };
    let fields = |specs: &[Spec], inline| find(&Table::new(specs), inline).map(|row| row.fields);
    let before = [read("hget"), read("hgetall"), read("llen")];
    assert_eq!(fields(&before, "hget key field"), Ok(None));
    let since = [&before[..], &[spec("hexpire")]].concat();
    assert_eq!(fields(&since, "hget key field"), Ok(Some(Fields::Named)));
    assert_eq!(fields(&since, "hgetall key"), Ok(Some(Fields::All)));
    assert_eq!(fields(&since, "llen key"), Ok(None));
}
