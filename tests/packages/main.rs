//! What `make dist` makes: `make test-packages` runs these, with its directory in `DIST`.

#[path = "../common/mod.rs"]
mod common;

mod completions;
mod debian;
mod kubernetes;
mod tarball;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The only file in `DIST` with this end.
#[track_caller]
fn dist(end: &str) -> PathBuf {
    let directory =
        std::env::var("DIST").expect("`make test-packages` says where the packages are");
    let entries = fs::read_dir(&directory).expect("a directory of packages");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let mut files = files.filter(|file| file.to_string_lossy().ends_with(end));
    let file = files.next().expect("`make dist` was run");
    assert_eq!(files.next(), None);
    file
}

/// An empty directory of this name.
fn empty(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory");
    directory
}

/// Runs a shell script in a directory, with arguments from `$1` on. Panics unless it succeeds; returns what it printed.
#[track_caller]
fn shell(directory: &Path, script: &str, arguments: &[&Path]) -> String {
    let output = output(directory, script, arguments);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {printed}\n{errors}");
    printed
}

fn output(directory: &Path, script: &str, arguments: &[&Path]) -> Output {
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", script, "bash"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("bash runs")
}

/// The unpacked tarball.
#[track_caller]
fn unpacked(name: &str) -> PathBuf {
    let directory = empty(name);
    shell(
        &directory,
        r#"tar --extract --file "$1" --strip-components 1"#,
        &[&dist(".tar.gz")],
    );
    directory
}
