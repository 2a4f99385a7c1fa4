//! What clients set with `CONFIG` at Redis, as far as it is about what the proxy answers in its place: the counters of
//! `INFO`.

use super::store::Store;
use crate::command::is_word;
use crate::metrics::Counters;
use crate::resp::request::Request;

/// What a request sets, if Redis says OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// The counters start anew.
    CountersReset,
}

impl Store {
    /// What a request sets, if it is one that does.
    pub fn configures(&self, request: &Request<'_>) -> Option<Setting> {
        let name = request.argument(0);
        let resets = request.len() >= 2
            && is_word(self.table.own_name(name), b"config")
            && is_word(request.argument(1), b"resetstat");
        resets.then_some(Setting::CountersReset)
    }

    /// Redis accepted it.
    pub fn configure(&mut self, setting: Setting) {
        match setting {
            Setting::CountersReset => {
                self.reset = Some(Box::new(Counters::of(&self.metrics, &self.cache)));
            }
        }
    }
}
