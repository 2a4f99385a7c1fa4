//! Each rule that keeps the cache coherent is missed when it is taken out: a copy of the sources is made in which each
//! can be broken, and the explorer must then find a promise that is broken too. `RULES_ONLY=words` tries those whose name
//! has these words.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A rule of the core.
struct Rule {
    name: &'static str,
    /// Below `src/proxy`.
    file: &'static str,
    /// The code that keeps it, which is there once, and what stands in its place. `$broken` says whether it is broken.
    kept: &'static str,
    breakable: &'static str,
    /// Words of the name of a world in which it is missed.
    world: &'static str,
}

const READERS_AND_WRITERS: &str = "readers, and writers everywhere";
const OTHERS_WRITE: &str = "readers, and others who write";
const ASKERS: &str = "those who ask about keys, and writers everywhere";
const KEYS_THAT_GO: &str = "keys that go";
const DEDICATED: &str = "a writer on a dedicated connection";
const WHOLE_TRANSACTIONS: &str = "transactions that come as a whole";
const SCRIPTS: &str = "scripts";
const BREAKS: &str = "connections that break";
const EXPIRY: &str = "keys that expire";
const DATABASES: &str = "two databases, and others who write";
const COPIES: &str = "two databases, and copies from one to the other";
const LATE: &str = "replies that are late";
const MESSAGES: &str = "a listener, and others who write and publish";
const MESSAGES_AND_BREAKS: &str = "messages, and connections that break";
const SILENCE: &str = "a tracker that is silent";
const UNTRACKED: &str = "the time to live alone";
const MOVES: &str = "a cluster with a slot that moves";
const MOVES_AND_BREAKS: &str = "a cluster with connections that break";
const FAILURES: &str = "a cluster with nodes that fail";
const CLUSTER: &str = "a cluster with everything";

const RULES: &[Rule] = &[
    Rule {
        name: "a message waits until the changes before it are reported",
        file: "from_dedicated.rs",
        kept: "if news.tells_of_others && ",
        breakable: "if !$broken && news.tells_of_others && ",
        world: MESSAGES,
    },
    Rule {
        name: "it waits too while the tracker is made anew",
        file: "engine/servers.rs",
        kept: "Coherence::Unknown | Coherence::Tracking | Coherence::Lost => true,",
        breakable: "Coherence::Lost if $broken => false,\n            Coherence::Unknown | Coherence::Tracking | Coherence::Lost => true,",
        world: MESSAGES_AND_BREAKS,
    },
    Rule {
        name: "a barrier says nothing of what a lost tracker should have reported",
        file: "events.rs",
        kept: "if self.engine.cluster().is_some()",
        breakable: "if $broken || self.engine.cluster().is_some()",
        world: MESSAGES_AND_BREAKS,
    },
    Rule {
        name: "a hit waits for the replies before it",
        file: "replies/push.rs",
        kept: "if self.queue.is_empty() {\n            self.output.write(|out| reply::bulk(out, value));",
        breakable: "if $broken || self.queue.is_empty() {\n            self.output.write(|out| reply::bulk(out, value));",
        world: READERS_AND_WRITERS,
    },
    Rule {
        name: "an entry past its time to live is no hit, even before it is removed",
        file: "engine/get.rs",
        kept: "Serving::Fresh => self.cache.get(key, now),",
        breakable: "Serving::Fresh => self.cache.get(key, if $broken { Time::default() } else { now }),",
        world: EXPIRY,
    },
    Rule {
        name: "an entry does not outlive its key",
        file: "engine/keep.rs",
        kept: "Duration::from_millis(milliseconds.unsigned_abs())",
        breakable: "if $broken { Duration::MAX } else { Duration::from_millis(milliseconds.unsigned_abs()) }",
        world: EXPIRY,
    },
    Rule {
        name: "the life of a key counts from when it was asked for",
        file: "engine/keep.rs",
        kept: "ttl.saturating_sub(found.since.until(now))",
        breakable: "if $broken { ttl } else { ttl.saturating_sub(found.since.until(now)) }",
        world: EXPIRY,
    },
    Rule {
        name: "reports of changes are heard",
        file: "engine/invalidate.rs",
        kept: "if invalidated.all {",
        breakable: "if $broken {\n        } else if invalidated.all {",
        world: OTHERS_WRITE,
    },
    Rule {
        name: "what a client writes is invalidated as it is sent",
        file: "engine/invalidate.rs",
        kept: "let keys = self.written_here(request, writes);\n        match &keys {",
        breakable: "let keys = self.written_here(request, writes);\n        match &keys {\n            _ if $broken => {}",
        world: READERS_AND_WRITERS,
    },
    Rule {
        name: "what a client writes on a dedicated connection is invalidated again when the reply is there",
        file: "from_dedicated.rs",
        kept: "&mut |effects| {\n            engine.invalidate_answered(effects);",
        breakable: "&mut |effects| {\n            if !$broken {\n                engine.invalidate_answered(effects);\n            }",
        world: DEDICATED,
    },
    Rule {
        name: "what is queued in a transaction is being written until that is executed",
        file: "in_flight/lane.rs",
        kept: "None => remove(&mut self.written, &forward.written),",
        breakable: "_ if $broken => remove(&mut self.written, &forward.written),\n            None => remove(&mut self.written, &forward.written),",
        world: WHOLE_TRANSACTIONS,
    },
    Rule {
        name: "behind a script a client is not served before all is reported that it changed",
        file: "engine/scripts.rs",
        kept: "replies.scripts.are_settled(self.barriers.passed()) ||",
        breakable: "$broken || replies.scripts.are_settled(self.barriers.passed()) ||",
        world: SCRIPTS,
    },
    Rule {
        name: "the reply of a script does not say that",
        file: "scripts.rs",
        kept: "self.barrier = barrier;",
        breakable: "if !$broken { self.barrier = barrier; }",
        world: SCRIPTS,
    },
    Rule {
        name: "a key that changed leaves the cache",
        file: "engine/invalidate.rs",
        kept: "self.cache.remove_everywhere(name, |removed| {",
        breakable: "let nothing: &[u8] = b\"nothing\";\n        self.cache.remove_everywhere(if $broken { nothing } else { name }, |removed| {",
        world: OTHERS_WRITE,
    },
    Rule {
        name: "it does so in all databases",
        file: "../cache/remove.rs",
        kept: "for _ in 0..self.tallies.len() {",
        breakable: "for _ in 0..self.tallies.len().min(if $broken { 1 } else { usize::MAX }) {",
        world: DATABASES,
    },
    Rule {
        name: "nor is what is fetched in any database when a key of that name changed cached",
        file: "in_flight/fetches.rs",
        kept: "for (_, fetches) in &mut self.databases {",
        breakable: "let some = if $broken { 1 } else { usize::MAX };\n        for (_, fetches) in self.databases.iter_mut().take(some) {",
        world: DATABASES,
    },
    Rule {
        name: "an entry is of one database",
        file: "../cache/entry.rs",
        kept: "self.flags >> FLAGS == low\n",
        breakable: "($broken || self.flags >> FLAGS == low)\n",
        world: DATABASES,
    },
    Rule {
        name: "a fetch is of one database",
        file: "in_flight/fetches.rs",
        kept: "databases.find(|(known, _)| *known == key.database)?",
        breakable: "databases.find(|(known, _)| $broken || *known == key.database)?",
        world: DATABASES,
    },
    Rule {
        name: "what is written in one database may be read in another",
        file: "in_flight/changes.rs",
        kept: "self.lanes.iter_mut().filter(|(other, _)| *other != link);\n        others",
        breakable: "self.lanes.iter_mut().filter(|(other, _)| *other != link && !($broken && other.database != link.database));\n        others",
        world: COPIES,
    },
    Rule {
        name: "what comes behind SELECT waits for the replies before it",
        file: "engine/databases.rs",
        kept: "if !replies.none_wait() {",
        breakable: "if !$broken && !replies.none_wait() {",
        world: COPIES,
    },
    Rule {
        name: "a fetch that was in flight when its key changed is not cached",
        file: "in_flight/changes.rs",
        kept: "if let Some(fetch) = self.fetch_of(ticket) {\n            fetch.fresh = false;",
        breakable: "if let Some(fetch) = self.fetch_of(ticket) {\n            fetch.fresh = $broken;",
        world: READERS_AND_WRITERS,
    },
    Rule {
        name: "who comes after a change waits for no fetch from before it",
        file: "in_flight/changes.rs",
        kept: "for ticket in self.fetches.take_name(name) {",
        breakable: "let found: Vec<_> = if $broken { self.fetches.get(Key::new(0, name), None).into_iter().collect() } else { self.fetches.take_name(name) };\n        for ticket in found {",
        world: READERS_AND_WRITERS,
    },
    Rule {
        name: "a value that waits for the time to live of its key is invalidated like a cached one",
        file: "in_flight/changes.rs",
        kept: "for (_, lane) in self.lanes.iter_mut() {\n            lane.fetched.take_if(",
        breakable: "for (_, lane) in self.lanes.iter_mut().filter(|_| !$broken) {\n            lane.fetched.take_if(",
        world: OTHERS_WRITE,
    },
    Rule {
        name: "when all keys may have changed, none stays in the cache",
        file: "engine/invalidate.rs",
        kept: "self.empty_cache(cause);",
        breakable: "if !$broken {\n            self.empty_cache(cause);\n        }",
        world: KEYS_THAT_GO,
    },
    Rule {
        name: "nor is cached what was in flight",
        file: "engine/invalidate.rs",
        kept: "self.in_flight.all_changed();\n    }",
        breakable: "if !$broken {\n            self.in_flight.all_changed();\n        }\n    }",
        world: KEYS_THAT_GO,
    },
    Rule {
        name: "the end of a fetch that was overtaken is not the end of the newer one of that key",
        file: "in_flight/fetches.rs",
        kept: "&& newest != ticket",
        breakable: "&& !$broken\n                && newest != ticket",
        world: READERS_AND_WRITERS,
    },
    Rule {
        name: "a key that is being written over one link is not cached by the other",
        file: "in_flight.rs",
        kept: "fetch.fresh = !self.is_written_elsewhere(&fetch.key, link);",
        breakable: "fetch.fresh = $broken || !self.is_written_elsewhere(&fetch.key, link);",
        world: READERS_AND_WRITERS,
    },
    Rule {
        name: "who got a value gets no older one that is cached",
        file: "engine/arrive.rs",
        kept: "None => self.cache.remove_value(key),",
        breakable: "None if $broken => {}\n                None => self.cache.remove_value(key),",
        world: OTHERS_WRITE,
    },
    Rule {
        name: "nor one that another link is fetching",
        file: "engine/arrive.rs",
        kept: "self.in_flight.overtaken(&fetch.key, link);",
        breakable: "if !$broken {\n                self.in_flight.overtaken(&fetch.key, link);\n            }",
        world: OTHERS_WRITE,
    },
    Rule {
        name: "that a key is missing is cached only if Redis reports when it comes to be",
        file: "engine/keep.rs",
        kept: "let may_be_missing = !reports",
        breakable: "let may_be_missing = !$broken && !reports",
        world: UNTRACKED,
    },
    Rule {
        name: "what was cached in an earlier session goes when Redis reports changes again",
        file: "engine/server_events.rs",
        kept: "Tracking::Missing | Tracking::On => true,",
        breakable: "Tracking::Missing => true,\n            Tracking::On => !$broken,",
        world: BREAKS,
    },
    Rule {
        name: "what comes when changes are no longer reported is not cached",
        file: "engine/server_events.rs",
        kept: "Tracking::Lost => Some(Coherence::Lost),",
        breakable: "Tracking::Lost if $broken => None,\n            Tracking::Lost => Some(Coherence::Lost),",
        world: BREAKS,
    },
    Rule {
        name: "an answer that was in flight when its key changed is not cached",
        file: "in_flight/fetches.rs",
        kept: "false => self.answers.remove(key),",
        breakable: "false if $broken => None,\n            false => self.answers.remove(key),",
        world: ASKERS,
    },
    Rule {
        name: "what is late is not cached",
        file: "in_flight/late.rs",
        kept: "Asked::Fetch(fetch) => {\n                    fetch.fresh = false;",
        breakable: "Asked::Fetch(fetch) => {\n                    fetch.fresh &= $broken;",
        world: LATE,
    },
    Rule {
        name: "nothing is served while changes may be on their way",
        file: "engine/servers.rs",
        kept: "Redis::Up if self.is_suspended => Serving::Nothing,",
        breakable: "Redis::Up if !$broken && self.is_suspended => Serving::Nothing,",
        world: SILENCE,
    },
    Rule {
        name: "what is cached of slots that have moved goes",
        file: "engine/cluster.rs",
        kept: "let removed = self.cache.remove_where(|name| is_gone(slot_of(name)));",
        breakable: "let removed = self.cache.remove_where(|name| !$broken && is_gone(slot_of(name)));",
        world: MOVES,
    },
    Rule {
        name: "what is in flight then is not cached",
        file: "engine/cluster.rs",
        kept: "self.large.all_changed();\n        self.in_flight.all_changed();",
        breakable: "self.large.all_changed();\n        if !$broken {\n            self.in_flight.all_changed();\n        }",
        world: MOVES_AND_BREAKS,
    },
    Rule {
        name: "the map shows which slots have moved",
        file: "engine/cluster.rs",
        kept: "let has_moved = |slot: u16| before.owner(slot) != map.owner(slot);",
        breakable: "let has_moved = |slot: u16| !$broken && before.owner(slot) != map.owner(slot);",
        world: MOVES,
    },
    Rule {
        name: "so does a redirect",
        file: "engine/cluster/redirects.rs",
        kept: "self.invalidate_slots(|moved| moved == slot, Cause::Reconnected);",
        breakable: "self.invalidate_slots(|moved| !$broken && moved == slot, Cause::Reconnected);",
        world: MOVES_AND_BREAKS,
    },
    Rule {
        name: "nothing overtakes what was sent on of the same client",
        file: "engine/cluster/redirects.rs",
        kept: "|| self.is_behind_sent_on(&asked, target);",
        breakable: "|| !$broken && self.is_behind_sent_on(&asked, target);",
        world: CLUSTER,
    },
    Rule {
        name: "nothing overtakes what is parked of the same client",
        file: "engine/cluster/redirects.rs",
        kept: "|| self.is_behind_parked(&asked)",
        breakable: "|| !$broken && self.is_behind_parked(&asked)",
        world: FAILURES,
    },
];

/// How many lives of a world in front of a cluster are tried until a rule is missed.
const LIVES: u32 = 30_000;

/// What the copy says of the rule that is broken.
const BROKEN: &str = r#"
/// Whether a rule is broken.
pub fn is_broken(rule: &str) -> bool {
    static BROKEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let broken = BROKEN.get_or_init(|| std::env::var("BROKEN_RULE").ok());
    broken.as_deref() == Some(rule)
}
"#;

/// Copies the sources, and makes each rule breakable.
fn make_copy() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rules");
    let _ = fs::remove_dir_all(&copy);
    for directory in ["src", "deploy/no-frames"] {
        copy_all(&root.join(directory), &copy.join(directory));
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let (package, rest) = manifest.split_once("[[bench]]").expect("the benches");
    let (_, profiles) = rest.split_once("[profile.release]").expect("the profiles");
    // Without TLS, of which the core knows nothing, there is much less to build.
    let lines = package.lines().filter(|line| !line.starts_with("rcgen"));
    let package: String = lines.map(|line| line.to_owned() + "\n").collect();
    let manifest = format!("{package}[workspace]\n\n[profile.release]{profiles}");
    fs::write(copy.join("Cargo.toml"), manifest).expect("it can be written");
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock")).expect("the lock file");
    let lib = copy.join("src/lib.rs");
    let text = fs::read_to_string(&lib).expect("the library");
    fs::write(&lib, text + BROKEN).expect("it can be written");
    for rule in RULES {
        let path = copy.join("src/proxy").join(rule.file);
        let text = fs::read_to_string(&path).expect(rule.file);
        let breakable = rule
            .breakable
            .replace("$broken", &format!("crate::is_broken({:?})", rule.name));
        // What another rule has made breakable stays so.
        let count = text.matches(rule.kept).count();
        assert_eq!(count, 1, "{:?} is kept in {} once", rule.name, rule.file);
        fs::write(&path, text.replace(rule.kept, &breakable)).expect("it can be written");
    }
    copy
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            fs::copy(&path, &target).expect("it can be copied");
        }
    }
}

/// Builds the tests of the copy; returns the program.
fn build(copy: &Path) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args([
            "test",
            "--offline",
            "--lib",
            "--no-run",
            "--no-default-features",
            "--features=cluster",
            "--message-format=json",
        ])
        .current_dir(copy)
        // The explorer takes a third of the time so.
        .env("CARGO_PROFILE_TEST_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_TEST_DEBUG", "0")
        .env(
            "CARGO_TARGET_DIR",
            copy.parent().expect("a parent").join("rules-target"),
        )
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = text.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        rest.split('"').next()
    });
    path.expect("a program").into()
}

/// What the explorer says of the worlds with these words in their names, with a rule broken or none.
fn explore(program: &Path, world: &str, rule: &str, lives: u32) -> (bool, String) {
    let output = Command::new(program)
        .args(["--nocapture", "--include-ignored", "in_whatever_order"])
        .env("EXPLORE_ONLY", world)
        .env("EXPLORE_LIVES", lives.to_string())
        .env("BROKEN_RULE", rule)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

#[test]
fn a_core_without_any_one_of_its_rules_breaks_a_promise() {
    let program = build(&make_copy());
    let only = std::env::var("RULES_ONLY").unwrap_or_default();
    let rules: Vec<&Rule> = RULES
        .iter()
        .filter(|rule| rule.name.contains(&only))
        .collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(rule) =
                    rules.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
                {
                    let (passed, text) = explore(&program, rule.world, rule.name, LIVES);
                    let found = text.contains("    => ");
                    assert!(
                        !passed && found,
                        "nothing is missed without {:?}:\n{text}",
                        rule.name
                    );
                    println!("without {:?}:\n{text}", rule.name);
                }
            });
        }
    });
    // With all of them, it keeps all of its promises.
    if only.is_empty() {
        let (passed, text) = explore(&program, "", "none", LIVES / 30);
        println!("{text}");
        assert!(passed, "{text}");
    }
}
