//! The libraries that the programs of `tests/clients` use, installed when the first of them runs, below the
//! directory that cargo keeps for tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// Where the programs of a kind are.
pub fn sources(kind: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests").join("clients").join(kind)
}

/// The variable, with its value, that has a Python program find its libraries.
pub fn python_path() -> String {
    static PACKAGES: LazyLock<PathBuf> = LazyLock::new(|| {
        let install = "python3 -m pip install --quiet --disable-pip-version-check --target . \
                       --requirement requirements.txt";
        installed("python", "requirements.txt", install)
    });
    format!("PYTHONPATH={}", PACKAGES.display())
}

/// The variable, with its value, that has a JavaScript program find its libraries.
pub fn node_path() -> String {
    static PACKAGES: LazyLock<PathBuf> = LazyLock::new(|| {
        let install = "npm install --no-package-lock --no-audit --no-fund --ignore-scripts";
        installed("javascript", "package.json", install)
    });
    format!("NODE_PATH={}", PACKAGES.join("node_modules").display())
}

/// The directory with the packages that a list names, into which a command has installed them, now or
/// for an earlier run.
fn installed(kind: &str, list: &str, command: &str) -> PathBuf {
    let wanted = fs::read_to_string(sources(kind).join(list)).expect("a list of packages");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(kind);
    let is_there = || fs::read_to_string(directory.join(list)).is_ok_and(|there| there == wanted);
    if is_there() {
        return directory;
    }
    // All or nothing: another run may install at the same time, and this one may be interrupted.
    let staging = directory.with_extension(std::process::id().to_string());
    fs::create_dir_all(&staging).expect("a directory");
    fs::write(staging.join(list), &wanted).expect("a file");
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(&staging)
        .stdin(Stdio::null())
        .output()
        .expect("sh runs");
    if !output.status.success() {
        let _ = fs::remove_dir_all(&staging);
    }
    assert!(
        output.status.success(),
        "the end-to-end tests need the packages of tests/clients/{kind}/{list}, which could not be \
         installed: `{command}`: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    // It fails if there is none.
    let _ = fs::remove_dir_all(&directory);
    if fs::rename(&staging, &directory).is_err() {
        let _ = fs::remove_dir_all(&staging);
        assert!(is_there(), "{} can't be replaced", directory.display());
    }
    directory
}
