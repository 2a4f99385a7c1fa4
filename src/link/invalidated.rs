//! Redis's reports of changed keys (<https://redis.io/docs/latest/develop/reference/client-side-caching/>).

use crate::resp::read::Reader;

/// Keys that Redis reports as changed, expired or evicted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalidated {
    /// The changed keys.
    pub keys: Vec<Box<[u8]>>,
    /// All keys may have changed, because the database was flushed.
    pub all: bool,
}

impl Invalidated {
    /// Whether no key has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.all
    }

    /// Adds the keys of a push `>2 invalidate [keys]`, in which a null stands for all keys. Ignores other pushes.
    pub fn read(&mut self, push: &[u8]) {
        let mut reader = Reader::new(push);
        if reader.array() != Some(2) || reader.text() != Some(b"invalidate") {
            return;
        }
        match reader.array() {
            Some(keys) => self
                .keys
                .extend((0..keys).map_while(|_| reader.text()).map(Box::from)),
            None => self.all = true,
        }
    }
}

/// Whether a push is a published message, or confirms the start or end of a subscription.
pub(super) fn is_of_subscription(push: &[u8]) -> bool {
    let mut reader = Reader::new(push);
    let name = reader.array().and_then(|_| reader.text());
    name.is_some_and(|name| name.ends_with(b"message") || name.ends_with(b"subscribe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_of_subscriptions_are_told_from_others() {
        for push in [
            &b">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n"[..],
            b">4\r\n$8\r\npmessage\r\n",
            b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
            b">3\r\n$12\r\nsunsubscribe\r\n_\r\n:0\r\n",
        ] {
            assert!(is_of_subscription(push), "{}", push.escape_ascii());
        }
        for push in [
            &b">2\r\n$10\r\ninvalidate\r\n*1\r\n$7\r\nmessage\r\n"[..],
            b">2\r\n$21\r\ntracking-redir-broken\r\n:7\r\n",
            b">0\r\n",
        ] {
            assert!(!is_of_subscription(push), "{}", push.escape_ascii());
        }
    }

    #[test]
    fn keys_and_flushes_are_read_and_all_else_is_passed_over() {
        let mut invalidated = Invalidated::default();
        for push in [
            &b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$2\r\n\r\n\r\n"[..],
            b">2\r\n$7\r\nmessage\r\n*1\r\n$1\r\nx\r\n",
            b">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n",
            b">2\r\n$21\r\ntracking-redir-broken\r\n:7\r\n",
        ] {
            invalidated.read(push);
        }
        let keys: Vec<&[u8]> = invalidated.keys.iter().map(|key| &**key).collect();
        assert_eq!(keys, [&b"a"[..], b"\r\n"]);
        assert!(!invalidated.all);
        invalidated.read(b">2\r\n$10\r\ninvalidate\r\n_\r\n");
        assert!(invalidated.all);
    }
}
