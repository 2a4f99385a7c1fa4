//! What can be wrong with a configuration, and where.

use std::fmt;
use std::io;

/// Why the configuration can't be used.
///
/// Displays as one line that says where the mistake is, what it is and what is allowed. It never contains a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    origin: Origin,
    problem: Problem,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.problem)
    }
}

/// Where a value or a mistake comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A known flag, by its name without dashes.
    Flag(&'static str),
    /// A word among the arguments that starts like a flag, up to its `=`.
    Word(String),
    /// An argument that is not a flag; the first one after the program's name is 1.
    Argument(usize),
    /// An environment variable, by its name.
    Environment(String),
    /// A line of a file, where the first one is 1, and the name that it sets.
    Line {
        path: String,
        number: usize,
        name: Option<&'static str>,
    },
}

impl Origin {
    pub(super) fn error(self, problem: Problem) -> ConfigError {
        ConfigError {
            origin: self,
            problem,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) => write!(f, "--{name}"),
            Origin::Word(word) => f.write_str(&escaped(word)),
            Origin::Argument(number) => write!(f, "argument {number}"),
            Origin::Environment(variable) => write!(f, "{variable} (environment)"),
            Origin::Line { path, number, name } => {
                write!(f, "{}:{number}", escaped(path))?;
                name.map_or(Ok(()), |name| write!(f, ": {name}"))
            }
        }
    }
}

/// What is wrong at that place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// The value of a setting; `None` for a secret.
    NotAllowed {
        value: Option<String>,
        allowed: String,
    },
    /// A user name, but no password from any source.
    NeedsPassword {
        username: String,
        /// The setting for the password.
        password: &'static str,
    },
    /// Another setting is required as well. This is the end of a sentence that starts with "requires".
    Needs(&'static str),
    /// The setting is also given by the URL of Redis.
    GivenByUrl,
    /// This setting also sets the address of Redis.
    GivenBeside(&'static str),
    UnknownFlag {
        nearest: Option<&'static str>,
    },
    /// An argument in place of a flag; `None` if it may be part of a secret.
    NotAFlag {
        argument: Option<String>,
    },
    MissingValue,
    TakesNoValue,
    NotUtf8,
    /// A file that a setting names.
    Unreadable {
        path: String,
        reason: String,
    },
    /// A file that should contain a secret.
    EmptyFile {
        path: String,
    },
    /// The secret was given directly as well as by file.
    SecretGiven,
    NotASetting,
    UnknownName {
        name: String,
        nearest: Option<&'static str>,
    },
    /// The address of Redis is the proxy itself.
    Itself(String),
    SetBefore {
        line: usize,
    },
    ConfigInFile,
    Unclosed,
    UnknownEscape,
    TextAfterQuote,
    /// The parser of the flags and the table of settings contradict each other.
    Flags(String),
}

impl Problem {
    pub(super) fn unreadable(path: &str, error: &io::Error) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NotAllowed {
                value: Some(value),
                allowed,
            } => {
                write!(f, "invalid value {value:?}: expected {allowed}")
            }
            Problem::NotAllowed {
                value: None,
                allowed,
            } => {
                write!(f, "invalid value: expected {allowed}")
            }
            Problem::NeedsPassword { username, password } => {
                write!(f, "{username:?} needs a password; give {password} as well")
            }
            Problem::Needs(required) => write!(f, "requires {required}"),
            Problem::GivenByUrl => f.write_str("conflicts with redis_url; give only one"),
            Problem::GivenBeside(other) => {
                write!(f, "conflicts with {other}; give only one")
            }
            Problem::UnknownFlag {
                nearest: Some(name),
            } => {
                write!(
                    f,
                    "unknown flag; did you mean --{name}? See redis-proxy --help"
                )
            }
            Problem::UnknownFlag { nearest: None } => {
                f.write_str("unknown flag; see redis-proxy --help")
            }
            Problem::NotAFlag {
                argument: Some(argument),
            } => {
                write!(f, "{argument:?} is not a flag; see redis-proxy --help")
            }
            Problem::NotAFlag { argument: None } => {
                f.write_str("<hidden> is not a flag; see redis-proxy --help")
            }
            Problem::MissingValue => f.write_str("missing value; see redis-proxy --help"),
            Problem::TakesNoValue => f.write_str("takes no value"),
            Problem::NotUtf8 => f.write_str("the value is not UTF-8"),
            Problem::Unreadable { path, reason } => {
                write!(f, "can't read {path:?}: {}", escaped(reason))
            }
            Problem::EmptyFile { path } => {
                write!(f, "{path:?} is empty; give a file with the password")
            }
            Problem::SecretGiven => f.write_str("the password is set too; give only one"),
            Problem::NotASetting => f.write_str("not a setting; give a line as name = value"),
            Problem::UnknownName { name, nearest } => match nearest {
                Some(nearest) => write!(f, "unknown name {name:?}; did you mean {nearest}?"),
                None => write!(f, "unknown name {name:?}; see redis-proxy --help"),
            },
            Problem::Itself(address) => {
                write!(
                    f,
                    "{address} is the address of the proxy itself; give that of Redis"
                )
            }
            Problem::SetBefore { line } => write!(f, "already set in line {line}; give it once"),
            Problem::ConfigInFile => f.write_str("a file can't name another one; remove the line"),
            Problem::Unclosed => {
                f.write_str("the closing quote is missing; write a quote in the value as \\\"")
            }
            Problem::UnknownEscape => {
                f.write_str("unknown escape in the quoted value; give \\\" or \\\\")
            }
            Problem::TextAfterQuote => {
                f.write_str("only a comment, after a space, may follow the quoted value")
            }
            Problem::Flags(message) => f.write_str(&escaped(message)),
        }
    }
}

/// The text on one line, escaped as in a string literal, without the quotes.
fn escaped(text: &str) -> String {
    let quoted = format!("{:?}", text.trim_ascii_end());
    quoted[1..quoted.len() - 1].to_owned()
}
