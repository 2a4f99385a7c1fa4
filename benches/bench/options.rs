//! What the command line asks for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::plan::Plan;
use crate::sections;

const USAGE: &str = "\
The benchmark, as `make bench` runs it. Options (ARGS=\"…\"):

  SECTION ...       measure these only, and write no page
  --quick           small numbers and short times, to try the program itself; writes no page
                    (so does BENCH_QUICK=1)
  --out DIRECTORY   write the page there
  --proxy FILE      measure that build of the proxy

Sections:";

/// What the program was started for.
pub enum Invocation {
    /// To measure.
    Measure(Box<Options>),
    /// To be the floor, on that port and with values of so many bytes.
    Floor {
        /// Its port.
        port: u16,
        /// The bytes of a value.
        value: usize,
    },
    /// To be a relay, on that port, in front of that server, with that delay in each direction.
    Relay {
        /// Its port.
        port: u16,
        /// The server behind it.
        server: SocketAddr,
        /// The delay.
        delay: Duration,
    },
    /// By `cargo test`, which has no business here.
    Nothing,
}

/// What to measure, and where the page goes.
pub struct Options {
    /// Sizes and times.
    pub plan: Plan,
    /// The directory of the page, if one is to be written.
    pub out: Option<PathBuf>,
    sections: Vec<String>,
}

impl Options {
    /// Whether a section is to run.
    pub fn wants(&self, section: &str) -> bool {
        self.sections.is_empty() || self.sections.iter().any(|name| name == section)
    }
}

/// Reads the arguments.
///
/// # Errors
/// What to tell the user.
pub fn read(arguments: impl Iterator<Item = String>) -> Result<Invocation, String> {
    let mut quick = std::env::var_os("BENCH_QUICK").is_some_and(|value| value == "1");
    let mut out = None;
    let mut proxy = PathBuf::from(env!("CARGO_BIN_EXE_redis-proxy"));
    let mut names = Vec::new();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--floor" => return floor(&value()?, &value()?),
            "--relay" => return relay(&value()?, &value()?, &value()?),
            "--test" => return Ok(Invocation::Nothing),
            "--bench" => {}
            "--quick" => quick = true,
            "--out" => out = Some(PathBuf::from(value()?)),
            "--proxy" => proxy = PathBuf::from(value()?),
            name if sections::ALL.iter().any(|section| section.name == name) => {
                names.push(argument);
            }
            _ => return Err(usage()),
        }
    }
    if !names.is_empty() && out.is_some() {
        return Err("a page holds all sections: give either --out or sections".into());
    }
    if names.is_empty() && !quick && out.is_none() {
        out = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"));
    }
    Ok(Invocation::Measure(Box::new(Options {
        plan: Plan::new(quick, proxy),
        out,
        sections: names,
    })))
}

fn floor(port: &str, value: &str) -> Result<Invocation, String> {
    match (port.parse(), value.parse()) {
        (Ok(port), Ok(value)) => Ok(Invocation::Floor { port, value }),
        _ => Err(usage()),
    }
}

fn relay(port: &str, server: &str, microseconds: &str) -> Result<Invocation, String> {
    match (port.parse(), server.parse(), microseconds.parse()) {
        (Ok(port), Ok(server), Ok(microseconds)) => Ok(Invocation::Relay {
            port,
            server,
            delay: Duration::from_micros(microseconds),
        }),
        _ => Err(usage()),
    }
}

fn usage() -> String {
    let mut text = USAGE.to_owned();
    for section in sections::ALL {
        text += &format!("\n  {:<17} {}", section.name, section.title);
    }
    text
}
