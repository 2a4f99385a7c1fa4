//! A standard error that never makes its writers wait.
//!
//! The reader of the log may be slow, stuck or gone. It can't be known in advance whether a write will block, as other
//! processes may write to the same pipe or terminal; and making it non-blocking would affect these processes too. So
//! the standard error of this process becomes a pipe inside the process. A thread copies the pipe to the original
//! standard error, and does the waiting.
//!
//! The pipe is the queue: it keeps the lines in order, is bounded, and takes kernel memory only as it fills. A line for
//! which the pipe has no room is dropped and counted.

use std::io::{self, Stderr};
use std::os::fd::{AsFd, OwnedFd};
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec, ioctl_fionread, read, write};
use rustix::param::page_size;
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};
use rustix::stdio::dup2_stderr;

/// The size of the pipe in bytes: the most that Linux permits by default.
const PIPE_SIZE: usize = 1024 * 1024;

/// The longest line in bytes, including its end; a longer one is dropped.
const LONGEST_LINE: usize = 16 * 1024;

/// How long the end of the process waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The stack of the thread, in bytes.
const STACK: usize = 64 * 1024;

/// The pipe in place of standard error.
pub(super) struct Queue {
    /// Standard error as it was at the start.
    outside: OwnedFd,
    /// How many bytes may be in the pipe when a line is written.
    limit: u64,
    /// The longest line that then still fits into the pipe.
    longest: usize,
    dropped: AtomicU64,
    closed: AtomicBool,
    /// Whether the thread has written everything after the pipe was closed.
    done: Mutex<bool>,
    ended: Condvar,
}

impl Queue {
    /// Puts the pipe in place of standard error, and starts the thread.
    ///
    /// # Errors
    /// If no pipe or thread can be created.
    pub fn start() -> io::Result<Arc<Self>> {
        let outside = fcntl_dupfd_cloexec(io::stderr(), 3)?;
        let (pipe, inside) = pipe_with(PipeFlags::CLOEXEC)?;
        let size = fcntl_setpipe_size(&inside, PIPE_SIZE)
            .or_else(|_| fcntl_getpipe_size(&inside))
            // As much as Linux gives to any process.
            .unwrap_or(2 * page_size());
        let (limit, longest) = bounds(size, page_size());
        let queue = Arc::new(Self {
            outside,
            limit: limit as u64,
            longest,
            dropped: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            done: Mutex::new(false),
            ended: Condvar::new(),
        });
        thread::Builder::new()
            .name("log".into())
            .stack_size(STACK)
            .spawn({
                let queue = Arc::clone(&queue);
                move || {
                    queue.copy(&pipe);
                    *queue.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
                    queue.ended.notify_all();
                }
            })?;
        // The only other writing end is closed when this function returns.
        dup2_stderr(&inside)?;
        // Panic messages take the same path, and the process ends right after them.
        let print = panic::take_hook();
        panic::set_hook(Box::new({
            let queue = Arc::clone(&queue);
            move |info| {
                print(info);
                queue.close();
            }
        }));
        Ok(queue)
    }

    /// Lets `write` write a line of that length, if there is room for it.
    pub fn write(&self, length: usize, write: impl FnOnce(&Stderr)) {
        let stderr = io::stderr();
        // Nothing else may write from this check to the end of the line.
        let _turn = stderr.lock();
        if length <= self.longest && self.has_room(&stderr) {
            write(&stderr);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for a limited time until all lines are written. Later lines are dropped.
    pub fn close(&self) {
        {
            let _turn = io::stderr().lock();
            self.closed.store(true, Ordering::Relaxed);
            // This closes the last writing end of the pipe, so that the thread finds its end. If it fails, the wait
            // below times out.
            let _ = dup2_stderr(&self.outside);
        }
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self
            .ended
            .wait_timeout_while(done, LAST_LINES, |done| !*done);
    }

    /// Whether a line can be written without waiting.
    fn has_room(&self, stderr: &Stderr) -> bool {
        !self.closed.load(Ordering::Relaxed)
            && ioctl_fionread(stderr).is_ok_and(|bytes| bytes <= self.limit)
    }

    /// Copies line by line from the pipe to the original standard error, until the pipe ends.
    fn copy(&self, pipe: &OwnedFd) {
        let mut buffer = Vec::with_capacity(LONGEST_LINE);
        loop {
            match read(pipe, spare_capacity(&mut buffer)) {
                Ok(0) => return,
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(_) => return,
            }
            let end = match buffer.iter().rposition(|&byte| byte == b'\n') {
                Some(last) => last + 1,
                // This is longer than any line of the log; it may be part of a panic message.
                None if buffer.len() == buffer.capacity() => buffer.len(),
                None => 0,
            };
            for line in buffer[..end].split_inclusive(|&byte| byte == b'\n') {
                self.pass_on(line);
            }
            buffer.drain(..end);
        }
    }

    /// Writes a line to the original standard error, and waits as long as necessary.
    fn pass_on(&self, line: &[u8]) {
        if write_all(&self.outside, line).is_ok() {
            self.log_dropped();
        } else {
            // The reader is gone, or the disk is full. Either may change.
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Logs how many lines were dropped, once later lines have got through.
    fn log_dropped(&self) {
        if self.dropped.load(Ordering::Relaxed) == 0 {
            return;
        }
        let stderr = io::stderr();
        let _turn = stderr.lock();
        if self.has_room(&stderr) {
            let lines = self.dropped.swap(0, Ordering::Relaxed);
            log::warn!(lines; "log lines dropped");
        }
    }
}

/// How many bytes may be in a pipe of this size before a line is written, and how long the line may be, so that writing
/// never waits.
///
/// The pipe is full when all its pages are in use. Bytes that do not fit into the rest of a page start a new one, so of
/// any two pages, one may be wasted. Hence a quarter of the bytes takes half the pages plus two, and a line of a
/// quarter takes a quarter plus one. A pipe that is too small for that, as a user with very many pipes gets, holds one
/// line at a time.
fn bounds(size: usize, page: usize) -> (usize, usize) {
    let quarter = size / 4;
    let (limit, longest) = if size >= 16 * page {
        (quarter, quarter)
    } else {
        (0, size - page)
    };
    (limit, longest.min(LONGEST_LINE))
}

/// Writes all bytes, even if another process has made the file non-blocking.
fn write_all(outside: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(outside, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(outside.as_fd(), PollFlags::OUT)];
                match poll(&mut fds, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_within_the_bounds_fits_in_the_pages_of_the_pipe() {
        let page = 4096;
        for pages in [2, 4, 8, 16, 32, 256] {
            let (limit, longest) = bounds(pages * page, page);
            // All but one byte of the first may have been read.
            let used = if limit == 0 { 0 } else { 2 * limit / page + 2 };
            // Its end is written separately.
            let more = (longest - 1).div_ceil(page) + 1;
            assert!(used + more <= pages, "{pages} pages: {used} + {more}");
        }
    }
}
