//! The libraries that the programs of `tests/clients` use, installed when the first of them runs, below the
//! directory that cargo keeps for tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// What installs Python's packages, from `requirements.txt`.
pub const PIP: &str = "python3 -m pip install --quiet --disable-pip-version-check --target . \
                       --requirement requirements.txt";

/// What installs JavaScript's, from `package.json`.
pub const NPM: &str = "npm install --no-package-lock --no-audit --no-fund --ignore-scripts";

/// Where the programs of a kind are.
pub fn sources(kind: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests").join("clients").join(kind)
}

/// The variable, with its value, that has a Python program find its libraries.
pub fn python_path() -> String {
    static PACKAGES: LazyLock<PathBuf> =
        LazyLock::new(|| installed(&sources("python"), "python", "requirements.txt", PIP));
    format!("PYTHONPATH={}", PACKAGES.display())
}

/// The variable, with its value, that has a JavaScript program find its libraries.
pub fn node_path() -> String {
    static PACKAGES: LazyLock<PathBuf> =
        LazyLock::new(|| installed(&sources("javascript"), "javascript", "package.json", NPM));
    format!("NODE_PATH={}", PACKAGES.join("node_modules").display())
}

/// The directory of this name with the packages that a list among the sources names, into which a command has installed
/// them, now or for an earlier run.
pub fn installed(sources: &Path, name: impl AsRef<Path>, list: &str, command: &str) -> PathBuf {
    let list_path = sources.join(list);
    let wanted = fs::read_to_string(&list_path).expect("a list of packages");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
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
        "the end-to-end tests need the packages of {}, which could not be installed: `{command}`: \
         {}\n{}",
        list_path.display(),
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
