//! The sources of values: the flags, the environment, the file.

use std::ffi::{OsStr, OsString};
use std::io;

use super::arguments::nearest_setting;
use super::error::{ConfigError, Origin, Problem};
use super::file::{self, Line};
use super::flags::{CONFIG, Flags};
use super::settings::{self, MOVED, PREFIX, Setting};

/// All sources. The file has been read.
pub(super) struct Sources<'a> {
    flags: Flags,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
    path: String,
    lines: Vec<Line>,
    /// Variables that have the name of a setting, but are not meant for the proxy.
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
    /// from the source that wins.
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

    fn in_environment(&mut self, name: &'static str) -> Result<Option<Found>, ConfigError> {
        let upper = name.to_ascii_uppercase();
        for variable in [format!("{PREFIX}{upper}"), upper] {
            let Some(value) = (self.environment)(&variable).filter(|value| !value.is_empty())
            else {
                continue;
            };
            if is_service_link(&variable, &value) {
                self.left_alone.push(variable);
                continue;
            }
            let origin = match variable.starts_with(PREFIX) && self.is_moved(name) {
                true => Origin::Flag(name),
                false => Origin::Environment(variable),
            };
            return match value.into_string() {
                Ok(value) => Ok(Some(Found { value, origin })),
                Err(_) => Err(origin.error(Problem::NotUtf8)),
            };
        }
        Ok(None)
    }

    /// Whether a setting was given by a flag that was moved to the environment, to hide it.
    fn is_moved(&self, name: &str) -> bool {
        let moved = (self.environment)(MOVED).and_then(|moved| moved.into_string().ok());
        moved.is_some_and(|moved| moved.split(',').any(|moved| moved == name))
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

/// A variable that has the prefix and names no setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The variable that was probably meant.
    pub nearest: Option<String>,
}

/// Finds the variables that have the prefix and name no setting. Variables that Kubernetes and Docker set for a service
/// called `redis-proxy` don't count.
pub(super) fn unknown(names: impl Iterator<Item = OsString>) -> Vec<UnknownVariable> {
    let names = names.filter_map(|name| name.into_string().ok());
    let mut unknown: Vec<UnknownVariable> = names
        .filter_map(|name| {
            let setting = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
            let is_known = name == MOVED || setting == CONFIG || settings::find(&setting).is_some();
            let is_of_service = ["service_", "port_", "env_", "name"]
                .iter()
                .any(|start| setting.starts_with(start));
            let nearest = nearest_setting(&setting).map(Setting::variable);
            (!is_known && !is_of_service).then_some(UnknownVariable { name, nearest })
        })
        .collect();
    unknown.sort_by(|a, b| a.name.cmp(&b.name));
    unknown
}

/// The values given to a flag.
fn in_flags(name: &'static str, given: &[String]) -> impl Iterator<Item = Found> {
    given.iter().map(move |value| Found {
        value: value.clone(),
        origin: Origin::Flag(name),
    })
}

/// Whether a variable is the address of a service, as Kubernetes and Docker set one for every service. For a service
/// called `metrics`, that is `METRICS_PORT=tcp://10.96.0.12:9001`.
fn is_service_link(variable: &str, value: &OsStr) -> bool {
    let value = value.as_encoded_bytes();
    variable.ends_with("PORT")
        && [&b"tcp://"[..], b"udp://", b"sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_variable_is_found_and_nothing_else() {
        let names = [
            "REDIS_PROXY_CAPACTIY",
            "REDIS_PROXY_COLOUR",
            "REDIS_PROXY_CAPACITY",
            "REDIS_PROXY_CONFIG",
            "REDIS_PROXY_PORT",
            "REDIS_PROXY_PORT_8001_TCP_ADDR",
            "REDIS_PROXY_SERVICE_HOST",
            "CAPACTIY",
        ];
        let found = unknown(names.into_iter().map(OsString::from));
        let found: Vec<_> = found
            .iter()
            .map(|found| (&*found.name, found.nearest.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("REDIS_PROXY_CAPACTIY", Some("REDIS_PROXY_CAPACITY")),
                ("REDIS_PROXY_COLOUR", None),
            ]
        );
    }
}
