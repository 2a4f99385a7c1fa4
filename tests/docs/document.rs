//! The documents, and the parts of them that are made.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the repository.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The text of a file.
#[track_caller]
pub fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document that people read, in the root and below `docs` and `deploy`.
pub fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    for directory in ["", "docs", "deploy", "deploy/kubernetes"] {
        let entries = fs::read_dir(path(directory)).expect("a directory");
        let files = entries.map(|entry| entry.expect("an entry").path());
        documents.extend(files.filter(|file| file.extension().is_some_and(|end| end == "md")));
    }
    documents.sort();
    documents
}

/// The lines of a document outside code blocks.
pub fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// Checks that the block of this name has this content, or, with `UPDATE_DOCS`, renews it.
#[track_caller]
pub fn check_block(path: &Path, name: &str, content: &str) {
    let document = text(path);
    let start = format!("<!-- {name}: made by `make commands` -->\n");
    let end = format!("<!-- end of {name} -->\n");
    let (before, rest) = document.split_once(&start).expect("the start of the block");
    let (shown, after) = rest.split_once(&end).expect("the end of the block");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let renewed = format!("{before}{start}\n{}\n\n{end}{after}", content.trim());
        fs::write(path, renewed).expect("a document to write");
        return;
    }
    assert_eq!(
        shown.trim(),
        content.trim(),
        "`make commands` renews {name} in {}",
        path.display()
    );
}
