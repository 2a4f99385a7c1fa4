//! Why Redis can't be asked.

use crate::resp::reply::Reply;

/// Why Redis can't be asked.
pub(in crate::proxy) struct Outage {
    /// The error reply that says why.
    pub error: Reply,
    /// Redis is reachable but refuses the proxy: clients that need it get that error. Otherwise they are closed.
    pub refused: bool,
}

impl Outage {
    /// Whether Redis refuses the proxy's login, or requires one: clients may have a valid one.
    pub fn refuses_login(&self) -> bool {
        let login = [&b"-NOAUTH "[..], b"-WRONGPASS "];
        let error = self.error.bytes();
        self.refused && login.iter().any(|code| error.starts_with(code))
    }
}
