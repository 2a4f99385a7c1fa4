//! The table of commands is made from the code and a real Redis; it can't be out of date.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use redis::Value;
use redis_proxy::command::{Spec, Table, Way, read_specs};

use crate::common::RedisServer;
use crate::document::{check_block, path};

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
fn commands_md_shows_which_way_each_command_goes() {
    let table = table(&RedisServer::start());
    check_block(&path("docs/commands.md"), "commands", &table);
}
