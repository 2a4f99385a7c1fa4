//! The log: one line an event on standard error, as text or as JSON.
//!
//! An event has a message that is always the same, and keys with values:
//!
//! ```
//! let address = std::net::SocketAddr::from(([127, 0, 0, 1], 6379));
//! log::info!(address:%, away_ms = 120; "redis up");
//! ```
//!
//! What clients can bring about as often as they like goes through a [`Limit`]. No key may have a password
//! or anything else that a client stores for its value.

mod json;
mod limit;
mod text;

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::SystemTime;

use log::kv::{Source, Value};
use log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use simple_logger::SimpleLogger;

pub use limit::{LeftOut, Limit};
pub use text::Pairs;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `LEVEL [time module] message key=value …`
    Text,
    /// An object with the members `time`, `level`, `message`, and the keys.
    Json,
}

impl Format {
    /// As the setting is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Logs to standard error as long as somebody takes it: [`SimpleLogger`] panics when nobody does.
struct Logger {
    text: SimpleLogger,
    format: Format,
}

/// Starts the log: events from this level on.
///
/// # Errors
/// If it was started before.
pub fn start(level: LevelFilter, format: Format) -> Result<(), SetLoggerError> {
    log::set_max_level(level);
    let text = SimpleLogger::new().with_level(level);
    log::set_boxed_logger(Box::new(Logger { text, format }))
}

/// Logs an event whose keys no line of code has: those that `keys` gives.
pub fn info(target: &str, message: &str, keys: &dyn Source) {
    log::logger().log(
        &Record::builder()
            .level(Level::Info)
            .target(target)
            .args(format_args!("{message}"))
            .key_values(&keys)
            .build(),
    );
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.text.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || !is_taken() {
            return;
        }
        match self.format {
            Format::Text => {
                let (message, keys) = (record.args(), Pairs(record.key_values()));
                let target = format!("{} {}", time(), record.target());
                let mut line = record.to_builder();
                line.target(&target);
                self.text
                    .log(&line.args(format_args!("{message}{keys}")).build());
            }
            Format::Json => {
                // Whoever took it may have gone meanwhile.
                let _ = io::stderr().write_all(json::line(record).as_bytes());
            }
        }
    }

    fn flush(&self) {
        self.text.flush();
    }
}

/// Whether standard error still leads somewhere: a pipe whose reader is gone has an error.
fn is_taken() -> bool {
    let stderr = io::stderr();
    let mut fds = [PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::OUT)];
    let now = Timespec::default();
    poll(&mut fds, Some(&now)).is_err()
        || !fds[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::NVAL)
}

/// The time as both formats show it: as in RFC 3339, in UTC, to the millisecond.
fn time() -> impl Display {
    humantime::format_rfc3339_millis(SystemTime::now())
}

/// The most characters of a value that are shown: Redis's words and clients' names may be of any length.
const LONGEST: usize = 1024;

/// A value as text, if need be cut short with an ellipsis.
fn shortened(value: &Value<'_>) -> String {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
