//! What clients set with `CONFIG` at Redis, as far as it is about what the proxy answers in its place: `SLOWLOG` and
//! the counters of `INFO`.

use std::time::Duration;

use super::store::Store;
use crate::command::is_word;
use crate::metrics::Counters;
use crate::resp::integer;
use crate::resp::request::Request;

/// What a request sets, if Redis says OK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Setting {
    /// From how long on a request is slow; `None` within: none is.
    slower_than: Option<Option<Duration>>,
    /// How many requests the slow log holds.
    length: Option<usize>,
    /// The counters start anew.
    resets_counters: bool,
}

impl Store {
    /// What a request sets, if it is one that does.
    pub fn configures(&self, request: &Request<'_>) -> Option<Setting> {
        let name = request.argument(0);
        if request.len() < 2 || !is_word(self.table.own_name(name), b"config") {
            return None;
        }
        let mut setting = Setting::default();
        if is_word(request.argument(1), b"resetstat") {
            setting.resets_counters = true;
        } else if is_word(request.argument(1), b"set") {
            let words = request.arguments().skip(2).step_by(2);
            for (word, value) in words.zip(request.arguments().skip(3).step_by(2)) {
                match integer(value) {
                    Some(micros) if is_word(word, b"slowlog-log-slower-than") => {
                        let micros = u64::try_from(micros).ok();
                        setting.slower_than = Some(micros.map(Duration::from_micros));
                    }
                    Some(length) if is_word(word, b"slowlog-max-len") => {
                        setting.length = usize::try_from(length).ok();
                    }
                    _ => {}
                }
            }
        }
        (setting != Setting::default()).then_some(setting)
    }

    /// Redis accepted it.
    pub fn configure(&mut self, setting: Setting) {
        if let Some(slower_than) = setting.slower_than {
            self.slow_log.set_slower_than(slower_than);
        }
        if let Some(length) = setting.length {
            self.slow_log.set_length(length);
        }
        if setting.resets_counters {
            self.reset = Some(Box::new(Counters::of(&self.metrics, &self.cache)));
        }
    }
}
