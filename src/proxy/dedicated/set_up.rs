//! The setup of a dedicated connection.

/// The outstanding replies to requests that set up the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SetUp {
    /// The replies that must not be errors, which come first.
    pub required: usize,
    /// The replies that may be errors.
    pub optional: usize,
}

impl From<(usize, usize)> for SetUp {
    fn from((required, optional): (usize, usize)) -> Self {
        Self { required, optional }
    }
}

impl SetUp {
    pub fn is_done(self) -> bool {
        self.required + self.optional == 0
    }

    /// Takes a reply off. Returns whether the setup may continue after it.
    pub fn take(&mut self, is_error: bool) -> bool {
        if self.required > 0 {
            self.required -= 1;
            return !is_error;
        }
        self.optional = self.optional.saturating_sub(1);
        true
    }
}
