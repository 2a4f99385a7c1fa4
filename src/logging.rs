//! The log, which must not end the program when nobody reads it any more.

use std::io;
use std::os::fd::AsFd;

use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use simple_logger::SimpleLogger;

/// Logs to standard error as long as somebody takes it. [`SimpleLogger`] panics when nobody does.
struct Logger(SimpleLogger);

/// Starts the log: one line an event, from this level on.
///
/// # Errors
/// If it was started before.
pub fn start(level: LevelFilter) -> Result<(), SetLoggerError> {
    log::set_max_level(level);
    log::set_boxed_logger(Box::new(Logger(SimpleLogger::new().with_level(level))))
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if is_taken() {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
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
