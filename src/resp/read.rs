//! Reads the values of a complete reply, for Redis's replies to the proxy's own requests.

use super::integer;
use super::scan::Scanner;

/// Steps through a reply from value to value. A method returns `None` if the next value is of another kind.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the first of `values`.
    #[must_use]
    pub fn new(values: &'a [u8]) -> Self {
        Self(values)
    }

    fn line(&mut self, kinds: &[u8]) -> Option<&'a [u8]> {
        let end = self.0.windows(2).position(|pair| pair == b"\r\n")?;
        let (kind, text) = self.0[..end].split_first()?;
        self.0 = &self.0[end + 2..];
        kinds.contains(kind).then_some(text)
    }

    /// Reads the header of an array, a set or a push: how many values follow.
    pub fn array(&mut self) -> Option<usize> {
        usize::try_from(integer(self.line(b"*~>")?)?).ok()
    }

    /// Reads the header of a map, or of the array that stands for it in RESP2: how many pairs follow.
    pub fn map(&mut self) -> Option<usize> {
        match self.0.first() {
            Some(b'%') => usize::try_from(integer(self.line(b"%")?)?).ok(),
            _ => self.array().map(|values| values / 2),
        }
    }

    /// Steps over a null, of either protocol version. Returns whether there was one.
    pub fn null(&mut self) -> bool {
        for null in [&b"*-1\r\n"[..], b"$-1\r\n", b"_\r\n"] {
            if let Some(rest) = self.0.strip_prefix(null) {
                self.0 = rest;
                return true;
            }
        }
        false
    }

    /// Reads an integer.
    pub fn number(&mut self) -> Option<i64> {
        integer(self.line(b":")?)
    }

    /// Reads a bulk or simple string.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        if self.0.first() == Some(&b'+') {
            return self.line(b"+");
        }
        let length = usize::try_from(integer(self.line(b"$")?)?).ok()?;
        let text = self.0.get(..length)?;
        self.0 = self.0.get(length + 2..)?;
        Some(text)
    }

    /// Reads text for humans: a bulk string, or a verbatim string without its type.
    pub fn verbatim(&mut self) -> Option<&'a [u8]> {
        if self.0.first() != Some(&b'=') {
            return self.text();
        }
        const TYPE: usize = "txt:".len();
        let length = usize::try_from(integer(self.line(b"=")?)?).ok()?;
        let text = self.0.get(TYPE..length)?;
        self.0 = self.0.get(length + 2..)?;
        Some(text)
    }

    /// Reads a value of any kind, encoded.
    pub fn value(&mut self) -> Option<&'a [u8]> {
        let (_, length) = Scanner::new().feed(self.0).ok()??;
        let (value, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(value)
    }

    /// Counts the values that follow.
    pub fn values(mut self) -> usize {
        std::iter::from_fn(|| self.value()).count()
    }

    /// Steps over `values` values of any kind.
    pub fn skip(&mut self, values: usize) -> Option<()> {
        for _ in 0..values {
            self.value()?;
        }
        Some(())
    }
}
