//! Permits to send requests with large replies. Redis executes everything that it has read before it reads again, so
//! many such requests at once would keep all other clients waiting. Only a few at a time are sent to a server, until
//! their replies begin.

use std::cell::Cell;
use std::rc::Rc;

/// How many such requests are sent to a server at once.
const AT_ONCE: usize = 4;

/// The permits of one server. Holds how many are taken.
#[derive(Default)]
pub(in crate::proxy) struct Permits(Rc<Cell<usize>>);

/// A permit to send one request; dropping it returns it.
#[derive(Debug)]
pub(in crate::proxy) struct Permit(Rc<Cell<usize>>);

impl Permits {
    /// Whether a permit is left.
    pub fn is_any_left(&self) -> bool {
        self.0.get() < AT_ONCE
    }

    /// Takes a permit, if one is left.
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
