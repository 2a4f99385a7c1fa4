//! The table of commands in the README is made from the code and a real Redis; it can't be out of date.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::RedisServer;
use redis::Value;
use redis_proxy::command::{Spec, Table, Way, read_specs};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const START: &str = "<!-- commands: made by `make commands` -->\n";
const END: &str = "<!-- end of commands -->\n";

/// The names of one group by the way that they go.
#[derive(Default)]
struct Group {
    here: Vec<String>,
    cached: Vec<String>,
    own: Vec<String>,
    forwarded: usize,
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        other => panic!("no text: {other:?}"),
    }
}

/// The group of each command, as Redis's documentation has it.
fn groups(connection: &mut redis::Connection) -> BTreeMap<String, String> {
    let docs: Value = redis::cmd("COMMAND")
        .arg("DOCS")
        .query(connection)
        .expect("COMMAND DOCS");
    let docs = docs.into_sequence().expect("names and docs");
    let pairs = docs.chunks_exact(2).map(|pair| {
        let fields = pair[1].as_sequence().expect("fields");
        let group = fields
            .chunks_exact(2)
            .find(|field| text(&field[0]) == "group");
        (text(&pair[0]), text(&group.expect("a group")[1]))
    });
    pairs.collect()
}

fn specs(server: &RedisServer) -> Vec<Spec> {
    let mut client = server.client();
    let reply = client.command(&[b"COMMAND"]);
    read_specs(&reply).expect("Redis tells its commands")
}

fn table(server: &RedisServer) -> String {
    let client =
        redis::Client::open(format!("redis://127.0.0.1:{}/", server.port())).expect("an address");
    let groups_of = groups(&mut client.get_connection().expect("a connection"));
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for (name, row) in Table::new(&specs(server)).rows() {
        let name = String::from_utf8_lossy(name).replace('|', " ");
        let command = name.split(' ').next().unwrap_or(&name);
        // Redis 7.0 has no row for QUIT, and newer versions have commands that it does not.
        let Some(group) = groups_of
            .get(command)
            .map(String::as_str)
            .or((command == "quit").then_some("connection"))
        else {
            continue;
        };
        let group = groups.entry(group).or_default();
        let name = format!("`{}`", name.to_uppercase());
        match row.way {
            Way::Here(_) => group.here.push(name),
            Way::Cached(_) => group.cached.push(name),
            Way::Dedicated if row.only_with_block => group.own.push(format!("{name} with `BLOCK`")),
            Way::Dedicated => group.own.push(name),
            Way::Forward | Way::Upstream => group.forwarded += 1,
            Way::Abort => {}
        }
    }
    let mut table = String::from(
        "| group | answered here | through the cache | on a dedicated connection | forwarded |\n\
         |---|---|---|---|---|\n",
    );
    for (name, mut group) in groups {
        let cell = |names: &mut Vec<String>| {
            names.sort();
            names.join(", ")
        };
        let (here, cached, own) = (
            cell(&mut group.here),
            cell(&mut group.cached),
            cell(&mut group.own),
        );
        let others = if here.len() + cached.len() + own.len() == 0 {
            "all"
        } else {
            "the others"
        };
        let forwarded = if group.forwarded == 0 { "" } else { others };
        writeln!(
            table,
            "| {name} | {here} | {cached} | {own} | {forwarded} |"
        )
        .expect("a string");
    }
    table
}

#[test]
fn the_readme_shows_which_way_each_command_goes() {
    let table = table(&RedisServer::start());
    let readme = std::fs::read_to_string(README).expect("the README");
    let (before, rest) = readme.split_once(START).expect("the start of the table");
    let (shown, after) = rest.split_once(END).expect("the end of the table");
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(README, format!("{before}{START}\n{table}\n{END}{after}"))
            .expect("a README to write");
        return;
    }
    assert_eq!(
        shown.trim(),
        table.trim(),
        "`make commands` renews the table"
    );
}

#[test]
fn the_readme_shows_every_flag_with_its_default() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_redis-proxy"))
        .arg("--help")
        .output()
        .expect("the program");
    let help = String::from_utf8(help.stdout).expect("text");
    let words: Vec<&str> = help.split_whitespace().collect();
    let readme = std::fs::read_to_string(README).expect("the README");
    let flags: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| word.starts_with("--"))
        .collect();
    assert!(flags.contains(&"--cache_ttl"));
    for (index, flag) in words.iter().enumerate() {
        let Some(default) = words[index..]
            .iter()
            .skip_while(|word| **word != "(default")
            .nth(1)
        else {
            break;
        };
        let is_row = flag.starts_with("--") && readme.contains(&format!("\n| `{flag}` |"));
        if flag.starts_with("--") && !["--version", "--help", "--cache_ttl=5,"].contains(flag) {
            assert!(is_row, "{flag} has no row");
            let row = format!("\n| `{flag}` | {} |", default.trim_end_matches(')'));
            assert!(readme.contains(&row), "no row {row:?}");
        }
    }
}

#[test]
fn the_readme_explains_every_field_of_info_that_redis_does_not_have() {
    let redis = RedisServer::start();
    let proxy = common::Proxy::start(&redis, &[]);
    let info = |mut client: common::Client| {
        let reply = client.command(&["INFO", "everything"]);
        String::from_utf8(reply).expect("text")
    };
    let (ours, theirs) = (info(proxy.client()), info(redis.client()));
    let readme = std::fs::read_to_string(README).expect("the README");
    let names = |info: &str| -> Vec<String> {
        let names = info.lines().filter_map(|line| line.split_once(':'));
        names.map(|(name, _)| name.to_owned()).collect()
    };
    let known = names(&theirs);
    let mut checked = 0;
    for name in names(&ours) {
        let is_theirs = known.contains(&name) || name.starts_with("cmdstat_");
        if !is_theirs && !name.starts_with("requests_") {
            assert!(
                readme.contains(&format!("`{name}`")),
                "{name} is not explained"
            );
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} of {ours}");
}
