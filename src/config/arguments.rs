//! The command line: how flags may be written, and which settings they give.

use std::ffi::OsString;
use std::ops::Range;

use argh::FromArgs;

use super::error::{ConfigError, Origin, Problem};
use super::flags::{CONFIG, Flags, NOT_SETTINGS, PROGRAM, help};
use super::settings::{self, SETTINGS, Setting};

/// What the arguments request.
pub(super) enum Request {
    Run(Box<Flags>),
    /// Text for standard output.
    Print(String),
}

/// Reads the arguments, without checking values.
pub(super) fn parse(args: &[OsString]) -> Result<Request, ConfigError> {
    let arguments = read(args)?;
    let mut words: Vec<String> = Vec::new();
    for given in arguments.given {
        words.push(format!("--{}", given.name.replace('_', "-")));
        words.push(given.value);
    }
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .chain(arguments.text)
        .collect();

    match Flags::from_args(&[PROGRAM], &words) {
        Ok(flags) if flags.version => Ok(Request::Print(
            concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
        )),
        Ok(flags) => Ok(Request::Run(Box::new(flags))),
        Err(exit) if exit.status.is_ok() => Ok(Request::Print(help(&exit.output))),
        Err(exit) => Err(Origin::Word("arguments".to_owned()).error(Problem::Flags(exit.output))),
    }
}

/// The parsed arguments; every name is known.
pub(super) struct Arguments {
    pub(super) given: Vec<Given>,
    /// The flag that requests a text instead of a run. Arguments after it are not read.
    pub(super) text: Option<&'static str>,
}

/// A flag and its value.
pub(super) struct Given {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// The one or two arguments that the flag spans.
    pub(super) at: Range<usize>,
}

impl Given {
    pub(super) fn is_secret(&self) -> bool {
        settings::find(self.name).is_some_and(Setting::is_secret)
    }
}

/// Separates flags from values. A value is the rest of the argument after `=`, or else the next
/// argument, whatever it looks like.
pub(super) fn read(args: &[OsString]) -> Result<Arguments, ConfigError> {
    let mut given: Vec<Given> = Vec::new();
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        let arg = arg.to_string_lossy();
        let (word, attached) = match arg.split_once('=') {
            Some((word, value)) => (word, Some(value)),
            None => (&*arg, None),
        };
        let text = match word {
            "-h" | "--help" => Some("--help"),
            "-V" | "--version" => Some("--version"),
            _ => None,
        };
        if text.is_some() && attached.is_some() {
            return Err(Origin::Word(word.to_owned()).error(Problem::TakesNoValue));
        }
        if text.is_some() {
            return Ok(Arguments { given, text });
        }

        let name = name_of(word).ok_or_else(|| {
            let after_secret = given.last().is_some_and(Given::is_secret);
            unknown(word, &arg, at + 1, after_secret)
        })?;
        let value_at = if attached.is_some() { at } else { at + 1 };
        let value = args
            .get(value_at)
            .ok_or_else(|| Origin::Flag(name).error(Problem::MissingValue))?
            .to_str()
            .ok_or_else(|| Origin::Flag(name).error(Problem::NotUtf8))?;
        let value = attached.unwrap_or(value).to_owned();
        given.push(Given {
            name,
            value,
            at: at..value_at + 1,
        });
        at = value_at + 1;
    }
    Ok(Arguments { given, text: None })
}

/// The error for an argument that should be a flag but is not. `word` is the part before its `=`, `number` its
/// position.
fn unknown(word: &str, arg: &str, number: usize, after_secret: bool) -> ConfigError {
    match word.strip_prefix("--") {
        Some(name) => {
            let nearest = nearest(name);
            Origin::Word(word.to_owned()).error(Problem::UnknownFlag { nearest })
        }
        None => {
            // The argument may be the rest of an unquoted password that contains a space.
            let argument = (!after_secret).then(|| arg.to_owned());
            Origin::Argument(number).error(Problem::NotAFlag { argument })
        }
    }
}

/// The name of a flag that takes a value.
fn name_of(word: &str) -> Option<&'static str> {
    let name = word.strip_prefix("--")?;
    if name == CONFIG {
        Some(CONFIG)
    } else {
        settings::find(name).map(|setting| setting.name)
    }
}

/// The flag that was probably meant by an unknown name.
fn nearest(name: &str) -> Option<&'static str> {
    let settings = SETTINGS.iter().map(|setting| setting.name);
    nearest_of(name, settings.chain(NOT_SETTINGS))
}

/// The setting that was probably meant by an unknown name.
pub(super) fn nearest_setting(name: &str) -> Option<&'static Setting> {
    let nearest = nearest_of(name, SETTINGS.iter().map(|setting| setting.name));
    nearest.and_then(settings::find)
}

/// The known name that was probably meant by an unknown one, from which at most one letter in three differs.
fn nearest_of(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let name = name.replace('-', "_");
    known
        .filter(|known| known.len().abs_diff(name.len()) * 3 <= name.len())
        .map(|known| (distance(&name, known), known))
        .min()
        .and_then(|(distance, known)| (distance * 3 <= name.len()).then_some(known))
}

/// How many letters must be changed, added or removed to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
