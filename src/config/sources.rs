//! The sources of values: the flags, the environment, the file.

use std::ffi::{OsStr, OsString};
use std::io;

use super::error::{ConfigError, Origin, Problem};
use super::file::{self, Line};
use super::flags::{CONFIG, Flags};
use super::settings::{PREFIX, Setting};

/// All sources, the file read.
pub(super) struct Sources<'a> {
    flags: Flags,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
    path: String,
    lines: Vec<Line>,
    /// Variables with the name of a setting that are not meant for the proxy.
    pub(super) left_alone: Vec<String>,
}

/// A value and its source.
pub(super) struct Found {
    pub(super) value: String,
    pub(super) origin: Origin,
}

impl<'a> Sources<'a> {
    /// Reads the file, if the flags or else the environment names one.
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
            left_alone: Vec::new(),
        };
        let named = match in_flags(CONFIG, &sources.flags.config).last() {
            Some(found) => Some(found),
            None => sources.in_environment(CONFIG)?,
        };
        // An empty flag means no file, whatever the environment says.
        if let Some(Found {
            value: path,
            origin,
        }) = named.filter(|found| !found.value.is_empty())
        {
            let text = read_file(&path)
                .map_err(|error| origin.error(Problem::unreadable(&path, &error)))?;
            sources.lines = file::parse(&path, &text)?;
            sources.path = path;
        }
        Ok(sources)
    }

    /// The value that wins: from a flag, else from the environment, else from the file. For a list setting, all values
    /// from that source.
    pub(super) fn find(&mut self, setting: &Setting) -> Result<Vec<Found>, ConfigError> {
        let given = (setting.given)(&self.flags);
        if !given.is_empty() {
            let all = setting.is_list();
            let given = if all {
                given
            } else {
                &given[given.len() - 1..]
            };
            return Ok(in_flags(setting.name, given).collect());
        }
        match self.in_environment(setting.name)? {
            Some(found) => Ok(vec![found]),
            None => Ok(self.in_file(setting).collect()),
        }
    }

    fn in_environment(&mut self, name: &str) -> Result<Option<Found>, ConfigError> {
        let name = name.to_ascii_uppercase();
        for variable in [format!("{PREFIX}{name}"), name] {
            let Some(value) = (self.environment)(&variable).filter(|value| !value.is_empty())
            else {
                continue;
            };
            if is_service_link(&variable, &value) {
                self.left_alone.push(variable);
                continue;
            }
            let origin = Origin::Environment(variable);
            return match value.into_string() {
                Ok(value) => Ok(Some(Found { value, origin })),
                Err(_) => Err(origin.error(Problem::NotUtf8)),
            };
        }
        Ok(None)
    }

    fn in_file(&self, setting: &Setting) -> impl Iterator<Item = Found> {
        let lines = self.lines.iter().filter(|line| line.name == setting.name);
        lines.map(|line| Found {
            value: line.value.clone(),
            origin: Origin::Line {
                path: self.path.clone(),
                number: line.number,
                name: Some(line.name),
            },
        })
    }
}

/// The values given to a flag.
fn in_flags(name: &'static str, given: &[String]) -> impl Iterator<Item = Found> {
    given.iter().map(move |value| Found {
        value: value.clone(),
        origin: Origin::Flag(name),
    })
}

/// Whether a variable is the address of a service, as Kubernetes and Docker set one for every service: a service called
/// `metrics` makes it `METRICS_PORT=tcp://10.96.0.12:9001`.
fn is_service_link(variable: &str, value: &OsStr) -> bool {
    let value = value.as_encoded_bytes();
    variable.ends_with("PORT")
        && [&b"tcp://"[..], b"udp://", b"sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
}
