//! Memory of sent outputs, for reuse: a client without outstanding replies holds none.

/// Empty buffers.
#[derive(Default)]
pub(super) struct Spare {
    buffers: Vec<Vec<u8>>,
    /// The total capacity of the buffers.
    bytes: usize,
}

/// The most bytes of total capacity, and of the capacity of one buffer.
const ALL: usize = 1024 * 1024;
const ONE: usize = 256 * 1024;

impl Spare {
    /// Takes the buffer that was added last, as it is the most likely to be in the CPU cache.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop()?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps an empty buffer, if there is room for it.
    pub fn put(&mut self, buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if (1..=ONE).contains(&capacity) && self.bytes + capacity <= ALL {
            self.bytes += capacity;
            self.buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_the_bounds_allow() {
        let mut spare = Spare::default();
        spare.put(Vec::new());
        spare.put(Vec::with_capacity(ONE + 1));
        assert!(spare.take().is_none());
        for _ in 0..2 * ALL / ONE {
            spare.put(Vec::with_capacity(ONE));
        }
        let kept = std::iter::from_fn(|| spare.take()).count();
        assert_eq!(kept, ALL / ONE);
        spare.put(Vec::with_capacity(10));
        assert_eq!(spare.take().map(|buffer| buffer.capacity()), Some(10));
        assert_eq!(spare.bytes, 0);
    }
}
