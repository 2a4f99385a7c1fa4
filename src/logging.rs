//! The log: one line per event on standard error, as text or as JSON.
//!
//! An event has a message that is always the same, and keys with values:
//!
//! ```
//! let address = std::net::SocketAddr::from(([127, 0, 0, 1], 6379));
//! log::info!(address:%, away_ms = 120; "redis up");
//! ```
//!
//! Events that clients can trigger as often as they like go through a [`Limit`]. No value may contain a password or
//! anything that a client stores.
//!
//! Logging never waits for the reader of the log: see [`start`].

mod json;
mod limit;
mod stderr;
mod text;

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use log::kv::{Source, Value};
use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

pub use limit::{LeftOut, Limit};
pub use text::Pairs;

use stderr::Queue;

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `LEVEL [time module] message key=value …`
    Text,
    /// An object with the members `time`, `level`, `message`, and the keys.
    Json,
}

impl Format {
    /// The name of the format in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Writes each line to standard error, which leads through a [`Queue`] to the original one.
struct Logger {
    text: SimpleLogger,
    format: Format,
    queue: Arc<Queue>,
}

/// A started log. On drop, it waits for up to a second until the last lines are written.
pub struct Started(Option<Arc<Queue>>);

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.close();
        }
    }
}

/// Starts the log for events of this level and more severe ones.
///
/// Standard error then leads through a queue of up to 256 KB to the original one. While the original one accepts
/// nothing, lines for which there is no room are dropped, and a later line reports their number.
///
/// # Errors
/// If it was started before, or no pipe or thread can be created.
pub fn start(level: LevelFilter, format: Format) -> io::Result<Started> {
    if level == LevelFilter::Off {
        return Ok(Started(None));
    }
    let queue = Queue::start()?;
    log::set_boxed_logger(Box::new(Logger {
        text: SimpleLogger::new().with_level(level),
        format,
        queue: Arc::clone(&queue),
    }))
    .map_err(io::Error::other)?;
    log::set_max_level(level);
    Ok(Started(Some(queue)))
}

/// Logs an event with the keys in `keys`, which need not be known at compile time.
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
        if !self.enabled(record.metadata()) {
            return;
        }
        match self.format {
            Format::Text => self.log_text(record),
            Format::Json => {
                let line = json::line(record);
                self.queue.write(line.len(), |mut stderr| {
                    // Writing can't fail, as the other end of the pipe belongs to this process.
                    let _ = stderr.write_all(line.as_bytes());
                });
            }
        }
    }

    fn flush(&self) {}
}

impl Logger {
    fn log_text(&self, record: &Record<'_>) {
        let target = format!("{} {}", time(), record.target());
        let text = format!("{}{}", record.args(), Pairs(record.key_values()));
        // The length includes what `LEVEL [target] text` adds, and the end of the line.
        let length = target.len() + text.len() + "WARN  [] \n".len();
        self.queue.write(length, |_| {
            let mut line = record.to_builder();
            line.target(&target);
            self.text.log(&line.args(format_args!("{text}")).build());
        });
    }
}

/// The time in both formats: as in RFC 3339, in UTC, to the millisecond.
fn time() -> impl Display {
    humantime::format_rfc3339_millis(SystemTime::now())
}

/// The most characters of a value that are shown: Redis's errors and clients' names may have any length.
const LONGEST: usize = 1024;

/// A value as text, shortened with an ellipsis if necessary.
fn shortened(value: &Value<'_>) -> String {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
