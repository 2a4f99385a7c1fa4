//! Keeps passwords out of the log, of errors, and of the process list.

use std::ffi::{CString, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;

use nix::unistd::execve;

use super::arguments::{self, Given};
use super::error::{ConfigError, Origin, Problem};
use super::settings::{MOVED, SETTINGS};

/// A text that must not be shown: it displays as `<hidden>`, except through [`expose`](Secret::expose).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

/// Reads a secret from the file at `path`, if given: its text without a trailing newline. `origin` is where the path
/// was given.
///
/// # Errors
///
/// The secret was given directly as well, or the file can't be read or is empty. The error shows nothing of the file's
/// content.
pub(super) fn read(
    path: Option<&str>,
    secret: &mut Option<Secret>,
    origin: Origin,
    read_file: &dyn Fn(&str) -> io::Result<String>,
) -> Result<(), ConfigError> {
    let Some(path) = path else { return Ok(()) };
    if secret.is_some() {
        return Err(origin.error(Problem::SecretGiven));
    }
    let text = match read_file(path) {
        Ok(text) => text,
        Err(error) => return Err(origin.error(Problem::unreadable(path, &error))),
    };
    match of_text(&text) {
        Some(found) => *secret = Some(found),
        None => {
            let path = path.to_owned();
            return Err(origin.error(Problem::EmptyFile { path }));
        }
    }
    Ok(())
}

/// The secret in a file's text, without a trailing newline.
fn of_text(text: &str) -> Option<Secret> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    (!text.is_empty()).then(|| Secret::new(text))
}

/// Reads a secret again from the file at `path`.
///
/// # Errors
///
/// The file can't be read or is empty.
pub fn read_file(path: &str) -> io::Result<Secret> {
    let text = std::fs::read_to_string(path)?;
    of_text(&text).ok_or_else(|| io::Error::other("the file is empty"))
}

/// Moves passwords from the command line, which every user of the host can read in the process list, to the
/// environment, which on Linux only the process's own user and root can read.
///
/// If a secret is among the arguments, the process re-executes the same program (same process id, same name, same open
/// files), without the argument and with the variable instead; otherwise this returns at once. The resulting
/// configuration is the same. Must be called first in `main`, before any thread is started. The password is visible
/// until then.
///
/// # Errors
///
/// The program could not be executed again: nothing has changed, and the caller may continue and warn that the password
/// is visible.
pub fn hide_secret_arguments() -> io::Result<()> {
    let mut args = std::env::args_os();
    let Some(program) = args.next() else {
        return Ok(());
    };
    let args: Vec<OsString> = args.collect();
    match without_secrets(&args) {
        None => Ok(()),
        Some(hidden) => run_again(program, hidden),
    }
}

/// Replaces the process.
fn run_again(program: OsString, hidden: Hidden) -> io::Result<()> {
    let hides = |name: &OsString| {
        hidden
            .variables
            .iter()
            .any(|(hidden, _)| name == hidden.as_str())
    };
    let mut variables: Vec<OsString> = Vec::new();
    for (mut variable, value) in std::env::vars_os().filter(|(name, _)| !hides(name)) {
        variable.push("=");
        variable.push(value);
        variables.push(variable);
    }
    for (name, value) in &hidden.variables {
        variables.push(format!("{name}={value}").into());
    }
    let path = c_string(std::env::current_exe()?.into())?;
    let args = std::iter::once(program).chain(hidden.args);
    let args: Vec<CString> = args.map(c_string).collect::<io::Result<_>>()?;
    let variables: Vec<CString> = variables
        .into_iter()
        .map(c_string)
        .collect::<io::Result<_>>()?;
    let Err(error) = execve(&path, &args, &variables);
    Err(error.into())
}

fn c_string(text: OsString) -> io::Result<CString> {
    Ok(CString::new(text.into_vec())?)
}

/// Arguments without secrets, and the variables that take their place.
pub(super) struct Hidden {
    pub(super) args: Vec<OsString>,
    pub(super) variables: Vec<(String, String)>,
}

/// Moves secrets from `args` to variables; `None` if there is nothing to hide, or if the arguments only lead to an
/// error or a text such as the help, after which the process ends at once.
///
/// An empty flag means no password, whatever the environment and the file contain. An empty variable could not express
/// that, so an empty flag stays.
pub(super) fn without_secrets(args: &[OsString]) -> Option<Hidden> {
    let arguments = arguments::read(args)
        .ok()
        .filter(|arguments| arguments.text.is_none())?;
    let secrets: Vec<Given> = arguments
        .given
        .into_iter()
        .filter(Given::is_secret)
        .collect();
    if secrets.iter().all(|secret| secret.value.is_empty()) {
        return None;
    }

    let is_secret = |at: &usize| secrets.iter().any(|secret| secret.at.contains(at));
    let mut hidden = Hidden {
        args: (0..args.len())
            .filter(|at| !is_secret(at))
            .map(|at| args[at].clone())
            .collect(),
        variables: Vec::new(),
    };
    let mut moved = Vec::new();
    for setting in SETTINGS {
        match secrets.iter().rfind(|secret| secret.name == setting.name) {
            None => {}
            Some(secret) if secret.value.is_empty() => {
                hidden.args.push(format!("--{}=", setting.name).into());
            }
            Some(secret) => {
                let variable = (setting.variable(), secret.value.clone());
                hidden.variables.push(variable);
                moved.push(setting.name);
            }
        }
    }
    if !moved.is_empty() {
        let list = (MOVED.to_owned(), moved.join(","));
        hidden.variables.push(list);
    }
    Some(hidden)
}
