//! Where values come from: the flags, the environment, the file.

use std::ffi::OsString;
use std::io;

use super::error::{ConfigError, Place, Problem};
use super::file::{self, Line};
use super::flags::{CONFIG, Flags};
use super::settings::Setting;

/// All sources, the file read.
pub(super) struct Sources<'a> {
    flags: Flags,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
    path: String,
    lines: Vec<Line>,
}

/// A value and where it is from.
pub(super) struct Found {
    pub(super) value: String,
    pub(super) place: Place,
}

impl<'a> Sources<'a> {
    /// Reads the file, if the flags or else the environment name one.
    pub(super) fn open(
        flags: Flags,
        environment: &'a dyn Fn(&str) -> Option<OsString>,
        read_file: &dyn Fn(&str) -> io::Result<String>,
    ) -> Result<Sources<'a>, ConfigError> {
        let mut sources = Sources {
            flags,
            environment,
            path: String::new(),
            lines: Vec::new(),
        };
        let named = match in_flag(CONFIG, &sources.flags.config) {
            Some(found) => Some(found),
            None => sources.in_environment(CONFIG.to_ascii_uppercase())?,
        };
        // An empty flag means no file, whatever the environment says.
        if let Some(Found { value: path, place }) = named.filter(|found| !found.value.is_empty()) {
            let text = read_file(&path).map_err(|error| {
                let reason = error.to_string();
                place.error(Problem::Unreadable {
                    path: path.clone(),
                    reason,
                })
            })?;
            sources.lines = file::parse(&path, &text)?;
            sources.path = path;
        }
        Ok(sources)
    }

    /// The value that wins: of a flag, else of the environment, else of the file.
    pub(super) fn find(&self, setting: &Setting) -> Result<Option<Found>, ConfigError> {
        if let Some(found) = in_flag(setting.name, (setting.given)(&self.flags)) {
            return Ok(Some(found));
        }
        match self.in_environment(setting.variable())? {
            Some(found) => Ok(Some(found)),
            None => Ok(self.in_file(setting)),
        }
    }

    fn in_environment(&self, variable: String) -> Result<Option<Found>, ConfigError> {
        let Some(value) = (self.environment)(&variable).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let place = Place::Environment(variable);
        match value.into_string() {
            Ok(value) => Ok(Some(Found { value, place })),
            Err(_) => Err(place.error(Problem::NotUtf8)),
        }
    }

    fn in_file(&self, setting: &Setting) -> Option<Found> {
        let line = self.lines.iter().find(|line| line.name == setting.name)?;
        let path = self.path.clone();
        let place = Place::Line {
            path,
            number: line.number,
            name: Some(line.name),
        };
        Some(Found {
            value: line.value.clone(),
            place,
        })
    }
}

/// The last of the values that a flag was given.
fn in_flag(name: &'static str, given: &[String]) -> Option<Found> {
    given.last().map(|value| Found {
        value: value.clone(),
        place: Place::Flag(name),
    })
}
