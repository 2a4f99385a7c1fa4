//! Every setting has its row, with its default.

use crate::document::{path, text};

#[test]
fn configuration_md_shows_every_flag_with_its_default() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_redis-proxy"))
        .arg("--help")
        .output()
        .expect("the program");
    let help = String::from_utf8(help.stdout).expect("text");
    let words: Vec<&str> = help.split_whitespace().collect();
    let document = text(&path("docs/configuration.md"));
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
        let is_row = flag.starts_with("--") && document.contains(&format!("\n| `{flag}` |"));
        if flag.starts_with("--") && !["--version", "--help", "--cache_ttl=5,"].contains(flag) {
            assert!(is_row, "{flag} has no row");
            let row = format!("\n| `{flag}` | {} |", default.trim_end_matches(')'));
            assert!(document.contains(&row), "no row {row:?}");
        }
    }
}
