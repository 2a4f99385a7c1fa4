use std::path::PathBuf;

use crate::{shell, unpacked};

fn completions(name: &str) -> PathBuf {
    unpacked(name).join("completions")
}

/// What bash offers for a command line.
fn bash(line: &str) -> Vec<String> {
    let script = format!(
        "source redis-proxy.bash; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _redis_proxy; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let offered = shell(&completions("bash"), &script, &[]);
    offered.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs what make dist makes"]
fn bash_completes_flags_and_their_values() {
    assert_eq!(bash("redis-proxy --cache_t"), ["--cache_ttl"]);
    assert_eq!(bash("redis-proxy --log_format j"), ["json"]);
    assert_eq!(bash("redis-proxy --port ''"), [""]);
    assert_eq!(
        bash("redis-proxy --config redis-proxy.b"),
        ["redis-proxy.bash"]
    );
}

#[test]
#[ignore = "needs what make dist makes"]
fn fish_completes_flags_and_their_values() {
    let directory = completions("fish");
    let offer = |line: &str| {
        let script = format!(
            "fish --no-config --command 'source redis-proxy.fish; complete --do-complete \"{line}\"'"
        );
        shell(&directory, &script, &[])
    };
    assert!(offer("redis-proxy --cache_t").starts_with("--cache_ttl"));
    assert!(offer("redis-proxy --log_format j").starts_with("json\t"));
}

#[test]
#[ignore = "needs what make dist makes"]
fn zsh_has_every_flag() {
    let text = std::fs::read_to_string(completions("zsh").join("_redis-proxy")).expect("a file");
    assert!(text.starts_with("#compdef redis-proxy\n"));
    assert!(text.contains("'--log_format[") && text.contains(":value:(text json)'"));
    // Where there is a zsh, it reads the file.
    let script = "! command -v zsh >/dev/null || zsh -n _redis-proxy";
    shell(&completions("zsh"), script, &[]);
}
