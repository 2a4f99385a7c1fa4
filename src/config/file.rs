//! The file of settings. The [`config`](super) module describes its format.

use super::arguments::nearest_setting;
use super::error::{ConfigError, Origin, Problem};
use super::flags::CONFIG;
use super::settings;

/// A setting from a file.
pub(super) struct Line {
    /// The number of the line; the first is 1.
    pub(super) number: usize,
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// Reads the settings in `text`, the content of the file `path`, without checking their values.
pub(super) fn parse(path: &str, text: &str) -> Result<Vec<Line>, ConfigError> {
    let mut lines: Vec<Line> = Vec::new();
    // Some editors start a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let origin = |name| Origin::Line {
            path: path.to_owned(),
            number,
            name,
        };
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Text that is not a name may be part of a password, and is not shown.
        let (name, value) = line
            .split_once('=')
            .map(|(name, value)| (name.trim_ascii_end(), value))
            .filter(|(name, _)| is_name(name))
            .ok_or_else(|| origin(None).error(Problem::NotASetting))?;
        if name == CONFIG {
            return Err(origin(Some(CONFIG)).error(Problem::ConfigInFile));
        }
        let setting = settings::find(name).ok_or_else(|| {
            origin(None).error(Problem::UnknownName {
                name: name.to_owned(),
                nearest: nearest_setting(name).map(|setting| setting.name),
            })
        })?;
        let name = setting.name;
        let mut before = lines.iter().filter(|_| !setting.is_list());
        if let Some(before) = before.find(|line| line.name == name) {
            return Err(origin(Some(name)).error(Problem::SetBefore {
                line: before.number,
            }));
        }
        let value = value_of(value).map_err(|problem| origin(Some(name)).error(problem))?;
        lines.push(Line {
            number,
            name,
            value,
        });
    }
    Ok(lines)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
}

/// The value in the text after the `=`.
fn value_of(text: &str) -> Result<String, Problem> {
    match text.trim_ascii_start().strip_prefix('"') {
        Some(text) => quoted(text),
        None => Ok(without_comment(text).trim_ascii().to_owned()),
    }
}

/// The value in the text after an opening quote.
fn quoted(text: &str) -> Result<String, Problem> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next().ok_or(Problem::Unclosed)? {
            '"' if without_comment(rest.as_str()).trim_ascii().is_empty() => return Ok(value),
            '"' => return Err(Problem::TextAfterQuote),
            '\\' => match rest.next().ok_or(Problem::Unclosed)? {
                c @ ('"' | '\\') => value.push(c),
                _ => return Err(Problem::UnknownEscape),
            },
            c => value.push(c),
        }
    }
}

/// The text before the first `#` that follows white space.
fn without_comment(text: &str) -> &str {
    let comment = text
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|&at| text[..at].ends_with(|c: char| c.is_ascii_whitespace()));
    &text[..comment.unwrap_or(text.len())]
}
