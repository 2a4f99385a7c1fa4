//! Looking ahead in a pipeline.

use super::Store;
use crate::cache::LOOK_AHEAD;
use crate::resp::request::whole_get;

/// So few bytes are seldom two requests.
const SHORT: usize = 64;

impl Store {
    /// Has the cache look ahead for the GETs that `bytes` start with, if that is worth its time. Returns how
    /// many bytes those are.
    pub fn look_ahead(&self, bytes: &[u8]) -> usize {
        if bytes.len() < SHORT || !self.cache.is_large() {
            return 0;
        }
        let mut keys = [&[][..]; LOOK_AHEAD];
        let mut count = 0;
        let mut ahead = 0;
        while count < keys.len()
            && let Some((key, length)) = whole_get(&bytes[ahead..])
        {
            keys[count] = &bytes[ahead..][key];
            count += 1;
            ahead += length;
        }
        self.cache.look_ahead(&keys[..count]);
        ahead
    }
}
