//! The bytes of a client that are not executed yet.

/// Bytes that are appended at the end and consumed from the start. The time to consume some does not depend on how many
/// are left.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// How many of the bytes are consumed.
    used: usize,
}

impl Input {
    /// Whether none are left.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes it holds, including consumed ones.
    pub fn held(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that are left.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    /// Adds bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Consumes `length` bytes. The memory of consumed bytes is freed once they are the greater part.
    pub fn consume(&mut self, length: usize) {
        self.used += length;
        if self.used == self.bytes.len() {
            *self = Self::default();
        } else if self.used > self.bytes.len() / 2 {
            self.bytes.drain(..self.used);
            self.bytes.shrink_to(2 * self.bytes.len());
            self.used = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_was_not_used_up() {
        let all: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for step in [1, 7, 1000, 5001, 10_000] {
            let mut input = Input::default();
            input.extend(&all[..5000]);
            input.extend(&all[5000..]);
            let mut used = 0;
            while !input.is_empty() {
                assert_eq!(input.rest(), &all[used..]);
                assert!(input.held() <= 2 * input.rest().len());
                let length = step.min(input.rest().len());
                input.consume(length);
                used += length;
            }
            assert_eq!(used, all.len());
            assert_eq!(input.bytes.capacity(), 0);
        }
    }
}
