//! The replies on a connection that the proxy edits before the client gets them.

use std::collections::VecDeque;

use super::expectation::Kind;
use crate::proxy::clients::Edit;

/// How the replies to requests in flight are edited, by the numbers in the requests' kinds. The requests are answered
/// in order, or not at all if a transaction is discarded.
#[derive(Debug, Default)]
pub(super) struct Edits {
    queue: VecDeque<(u32, Edit)>,
    /// The number of the latest edit. 0 stands for none.
    latest: u32,
    /// The memory that the edits take, in bytes.
    bytes: usize,
}

/// The most memory that the edits may take, in bytes.
const BYTES_MAX: usize = 1024 * 1024;

impl Edits {
    /// Adds the edit of a request's reply. Returns the request's kind with the number of the edit.
    pub fn add(&mut self, kind: Kind, edit: Edit) -> Kind {
        let number = self.latest.wrapping_add(1).max(1);
        let kind = match kind {
            Kind::Plain | Kind::Script if alters(&edit) => {
                Kind::Altered(number, kind == Kind::Script)
            }
            Kind::Plain | Kind::Local => Kind::Edited(number),
            Kind::Refused(_) => Kind::Refused(number),
            Kind::Hello(_) => Kind::Hello(number),
            kind => return kind,
        };
        let edit = match self.bytes < BYTES_MAX {
            true => edit,
            false => Edit::TooMuch,
        };
        self.latest = number;
        self.bytes += cost(&edit);
        self.queue.push_back((number, edit));
        kind
    }

    /// Whether no further edits can be kept.
    pub fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    /// Takes the edit of the reply to a request of this kind. Any edits before it are no longer due.
    pub fn take(&mut self, kind: Kind) -> Option<Edit> {
        let (Kind::Edited(wanted)
        | Kind::Altered(wanted, _)
        | Kind::Refused(wanted)
        | Kind::Hello(wanted)) = kind
        else {
            return None;
        };
        while let Some((number, edit)) = self.queue.pop_front() {
            self.bytes -= cost(&edit);
            if number == wanted {
                return Some(edit);
            }
        }
        None
    }

    /// Drops all edits: no request is in flight or queued.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.bytes = 0;
    }
}

/// Whether a reply with this edit may reveal other clients' writes.
fn alters(edit: &Edit) -> bool {
    matches!(edit, Edit::Observed { .. } | Edit::WithoutPrefix(..))
}

fn cost(edit: &Edit) -> usize {
    size_of::<(u32, Edit)>() + edit.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_of_requests_that_were_discarded_are_skipped() {
        let mut edits = Edits::default();
        let user = |name: &str| Edit::User(name.as_bytes().into());
        let kinds = ["a", "b", "c"].map(|name| edits.add(Kind::Plain, user(name)));
        assert_eq!(edits.add(Kind::Exec, Edit::Line), Kind::Exec);
        assert_eq!(edits.take(Kind::Plain), None);
        assert_eq!(edits.take(kinds[1]), Some(user("b")));
        assert_eq!(edits.take(kinds[2]), Some(user("c")));
        assert_eq!(edits.bytes, 0);
    }

    #[test]
    fn no_more_is_kept_than_a_megabyte() {
        let mut edits = Edits::default();
        let long = || Edit::User([b'x'; 4096].into());
        let kinds = [(); 10_000].map(|()| edits.add(Kind::Plain, long()));
        assert!(edits.bytes < 3 * BYTES_MAX);
        assert_eq!(edits.take(kinds[0]), Some(long()));
        assert_eq!(edits.take(kinds[9_999]), Some(Edit::TooMuch));
    }
}
