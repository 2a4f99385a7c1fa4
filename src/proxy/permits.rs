//! Permits to send requests with large replies. Redis executes everything that it has read before it reads on, so many
//! at once would keep all other clients waiting: only a few are sent to a server until their replies begin.

use std::cell::Cell;
use std::rc::Rc;

/// How many are sent to a server at once.
const AT_ONCE: usize = 4;

/// The permits of one server: how many are given out.
#[derive(Default)]
pub(in crate::proxy) struct Permits(Rc<Cell<usize>>);

/// A permit to send one, which is returned when this is dropped.
#[derive(Debug)]
pub(in crate::proxy) struct Permit(Rc<Cell<usize>>);

impl Permits {
    /// Whether one is left.
    pub fn is_any_left(&self) -> bool {
        self.0.get() < AT_ONCE
    }

    /// One, if any is left.
    pub fn take(&self) -> Option<Permit> {
        self.is_any_left().then(|| {
            self.0.set(self.0.get() + 1);
            Permit(Rc::clone(&self.0))
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
