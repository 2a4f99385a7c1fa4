//! Writes what a package has beside the program, made from its flags: `manual man|bash|zsh|fish`.

use redis_proxy::config::{Description, Flag, describe};

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() {
    let description = describe();
    let write = match std::env::args().nth(1).as_deref() {
        Some("man") => man,
        Some("bash") => bash,
        Some("zsh") => zsh,
        Some("fish") => fish,
        _ => {
            eprintln!("usage: manual man|bash|zsh|fish");
            std::process::exit(2);
        }
    };
    print!("{}", write(&description));
}

/// A text in a manual page: no hyphen turns into a dash, and no line into a request.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

fn man(description: &Description) -> String {
    let mut page = format!(
        ".TH {} 1 \"\" \"{NAME} {VERSION}\" \"User Commands\"\n\
         .SH NAME\n{} \\- read\\-through cache for Redis\n\
         .SH SYNOPSIS\n.B {}\n[\\fB\\-\\-\\fIname value\\fR ...]\n\
         .SH DESCRIPTION\n{}\n",
        NAME.to_uppercase(),
        roff(NAME),
        roff(NAME),
        roff(&description.text),
    );
    page += ".SH OPTIONS\n";
    for flag in &description.flags {
        if let Some(title) = flag.group {
            page += &format!(".SS {}\n", roff(title));
        }
        let short = flag
            .short
            .map_or(String::new(), |short| format!("\\fB\\-{short}\\fR, "));
        let value = if flag.takes_value {
            " \\fIvalue\\fR"
        } else {
            ""
        };
        page += &format!(
            ".TP\n{short}\\fB\\-\\-{}\\fR{value}\n{}\n",
            roff(&flag.name),
            roff(&flag.text)
        );
    }
    page += ".SH SETTINGS\n";
    for note in &description.notes {
        page += &format!("{}\n.PP\n", roff(note));
    }
    page += "Values are checked at startup; an invalid one exits with status 2.\n\
             .SH SIGNALS\n\
             .TP\n.BR SIGTERM \", \" SIGINT \", \" SIGQUIT\nFinish the received requests, for at most \
             \\fB\\-\\-drain\\fR and \\fB\\-\\-redis_timeout\\fR, and exit. A second one exits at once.\n\
             .TP\n.B SIGHUP\nReload settings, certificates and keys.\n\
             .SH EXIT STATUS\n\
             .TP\n.B 0\nEnded by a signal, or by \\fB\\-\\-help\\fR or \\fB\\-\\-version\\fR.\n\
             .TP\n.B 1\nThe port cannot be opened, or the system refused another resource.\n\
             .TP\n.B 2\nA setting is invalid.\n\
             .SH FILES\n\
             .TP\n.I /etc/default/redis\\-proxy\nEnvironment of the systemd service.\n\
             .SH EXAMPLES\n\
             .nf\nredis\\-proxy \\-\\-redis_hostname redis.example:6379 \\-\\-max_memory 16mb\n\
             redis\\-cli \\-p 8001 INFO cache\n.fi\n\
             .SH SEE ALSO\n.BR redis\\-cli (1),\n.BR redis\\-server (1)\n";
    page
}

/// Flags with their dashes, apart.
fn names(flags: &[Flag]) -> String {
    let names: Vec<String> = flags
        .iter()
        .map(|flag| format!("--{}", flag.name))
        .collect();
    names.join(" ")
}

fn bash(description: &Description) -> String {
    let flags = &description.flags;
    let mut cases = String::new();
    for flag in flags.iter().filter(|flag| flag.takes_value) {
        let choices = flag.choices();
        if flag.is_path() {
            cases += &format!(
                "        --{}) compopt -o filenames 2>/dev/null || :; COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n",
                flag.name
            );
        } else if !choices.is_empty() {
            cases += &format!(
                "        --{}) COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return ;;\n",
                flag.name,
                choices.join(" ")
            );
        }
    }
    format!(
        "# bash completion for {NAME}\n\
         _redis_proxy() {{\n    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
         COMPREPLY=()\n    case $prev in\n{cases}    esac\n    \
         # A value of any other flag is free.\n    \
         case $prev in --help | --version) ;; --*) return ;; esac\n    \
         COMPREPLY=($(compgen -W '{}' -- \"$cur\"))\n}}\ncomplete -F _redis_proxy {NAME}\n",
        names(flags)
    )
}

/// A text within single quotes of a shell, and within brackets of zsh.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

fn zsh(description: &Description) -> String {
    let mut lines = String::new();
    for flag in &description.flags {
        let text = quoted(&flag.text).replace('[', "\\[").replace(']', "\\]");
        let choices = flag.choices();
        let value = match () {
            () if !flag.takes_value => String::new(),
            () if flag.is_path() => ":file:_files".to_owned(),
            () if !choices.is_empty() => format!(":value:({})", choices.join(" ")),
            () => ":value:".to_owned(),
        };
        lines += &format!("    '--{}[{text}]{value}' \\\n", flag.name);
    }
    format!(
        "#compdef {NAME}\n\n_arguments \\\n{}\n",
        lines.trim_end_matches(" \\\n")
    )
}

fn fish(description: &Description) -> String {
    let mut lines = format!("# fish completion for {NAME}\ncomplete -c {NAME} -f\n");
    for flag in &description.flags {
        let short = flag
            .short
            .map_or(String::new(), |short| format!(" -s {short}"));
        let choices = flag.choices();
        let value = match () {
            () if !flag.takes_value => String::new(),
            () if flag.is_path() => " -r -F".to_owned(),
            () if !choices.is_empty() => format!(" -x -a '{}'", choices.join(" ")),
            () => " -x".to_owned(),
        };
        let text = flag.text.replace('\\', "\\\\").replace('\'', "\\'");
        lines += &format!(
            "complete -c {NAME} -l {}{short}{value} -d '{text}'\n",
            flag.name
        );
    }
    lines
}
