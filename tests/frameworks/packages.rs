//! Where the programs are, and what they are run with.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::common::{NPM, PIP, installed};

/// The directory with a framework's programs and the list of its packages in each directory.
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frameworks/programs")
}

/// Installs the packages of a framework, if they aren't there, one framework at a time.
fn packages(framework: &str, list: &str, command: &str) -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    // A test that failed leaves no packages half installed.
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let name = Path::new("frameworks").join(framework);
    installed(&programs().join(framework), &name, list, command)
}

/// What runs a Python program with the packages of a framework.
pub fn python(framework: &str) -> Vec<String> {
    let packages = packages(framework, "requirements.txt", PIP);
    // No compiled files among the sources.
    words(&[
        &format!("PYTHONPATH={}", packages.display()),
        "PYTHONDONTWRITEBYTECODE=1",
        "python3",
    ])
}

/// What runs a JavaScript program with the packages of a framework.
pub fn node(framework: &str) -> Vec<String> {
    let packages = packages(framework, "package.json", NPM).join("node_modules");
    words(&[&format!("NODE_PATH={}", packages.display()), "node"])
}

/// What runs a program in a language whose library the system has.
pub fn system(program: &str) -> Vec<String> {
    words(&[program])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}
