//! The shell blocks of the README and the recipes run, in front of a real Redis, and print what they say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Port, RedisServer};
use crate::document::{path, text};

/// Stands for the program in a block: the built one, in the background, on the block's ports. Returns once it is
/// connected to Redis.
const PROXY: &str = r#"#!/bin/sh
log=$(mktemp -p "$SCRATCH")
"$PROXY" --redis_timeout 30000 --port "$PORT" --redis_hostname "127.0.0.1:$REDIS" "$@" --log_level info >/dev/null 2>"$log" &
pid=$!
echo $pid >>"$SCRATCH/pids"
until grep -q 'redis up' "$log"; do
    kill -0 $pid 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.02
done
# What it says over HTTP may be a moment behind the log.
case "$*" in *--metrics_port*) curl -sf --retry 30 --retry-delay 1 "http://127.0.0.1:$HTTP/readyz" >/dev/null ;; esac
"#;

/// Stands for `make`: its targets are named right, but what they do is tested elsewhere. `make run` starts the proxy.
const MAKE: &str = r#"#!/bin/sh
env -u PORT "$MAKE_PROGRAM" --directory "$ROOT" --dry-run "$@" >/dev/null || exit
case $1 in run) exec redis-proxy ;; esac
"#;

/// Stands for what changes the system. `make test-packages` installs the package.
const NOTHING: &str = "#!/bin/sh\n";

/// A block of shell, with the line on which it starts.
struct Block {
    line: usize,
    script: String,
}

impl Block {
    /// What it prints, by its own word, in order.
    fn expected(&self) -> Vec<&str> {
        let behind = self
            .script
            .lines()
            .filter_map(|line| line.split_once("# → "));
        behind.map(|(_, expected)| expected).collect()
    }
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((line, _)) = lines.find(|(_, line)| *line == "```sh") {
        let inside = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```");
        let script = inside.map(|line| format!("{line}\n")).collect();
        blocks.push(Block { line, script });
    }
    blocks
}

/// A directory with the programs that a block meets. What the block started ends with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&directory);
        let programs = directory.join("programs");
        fs::create_dir_all(&programs).expect("a directory");
        for (name, script) in [
            ("redis-proxy", PROXY),
            ("make", MAKE),
            ("sudo", NOTHING),
            ("apt-get", NOTHING),
        ] {
            let file = programs.join(name);
            fs::write(&file, script).expect("a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("permissions");
        }
        Self(directory)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let pids = fs::read_to_string(self.0.join("pids")).unwrap_or_default();
        for pid in pids.lines() {
            let _ = Command::new("kill").arg(pid).status();
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn run(document: &str, block: &Block) {
    let at = format!("{document}:{}", block.line + 1);
    let redis = RedisServer::start();
    let scratch = Scratch::new(&at.replace(['/', ':'], "_"));
    let reserved = [Port::reserve(), Port::reserve()];
    let [port, http] = reserved.each_ref().map(|port| port.number().to_string());
    let redis_port = redis.port().to_string();
    let script = block
        .script
        // One of the ports may hold the digits of the other's place.
        .replace("8001", "PORT")
        .replace("6379", &redis_port)
        .replace("PORT", &port)
        .replace("9001", &http);
    let inherited = std::env::var("PATH").unwrap_or_default();
    let make_path = which("make", &inherited);
    let output = Command::new("sh")
        .args(["-euc", &script])
        .current_dir(&scratch.0)
        .env_clear()
        .env(
            "PATH",
            format!("{}:{inherited}", scratch.0.join("programs").display()),
        )
        .env("MAKE_PROGRAM", make_path)
        .env("PROXY", env!("CARGO_BIN_EXE_redis-proxy"))
        .env("ROOT", env!("CARGO_MANIFEST_DIR"))
        .env("SCRATCH", &scratch.0)
        .env("HTTP", &http)
        .env("PORT", &port)
        .env("REDIS", &redis_port)
        .output()
        .expect("sh runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{at}: {printed}\n{errors}");
    let mut rest = &*printed;
    for expected in block.expected() {
        let (_, after) = rest
            .split_once(expected)
            .unwrap_or_else(|| panic!("{at}: no {expected:?} in order in:\n{printed}\n{errors}"));
        rest = after;
    }
}

fn which(program: &str, path: &str) -> PathBuf {
    path.split(':')
        .map(|directory| Path::new(directory).join(program))
        .find(|file| file.exists())
        .unwrap_or_else(|| panic!("no {program} on the PATH"))
}

#[test]
fn every_shell_block_of_the_readme_runs() {
    let blocks = blocks(&text(&path("README.md")));
    assert!(!blocks.is_empty());
    for block in &blocks {
        run("README.md", block);
    }
}

#[test]
fn every_recipe_runs_and_prints_what_it_says() {
    let blocks = blocks(&text(&path("docs/recipes.md")));
    assert!(blocks.len() > 5);
    for block in &blocks {
        run("docs/recipes.md", block);
    }
}
