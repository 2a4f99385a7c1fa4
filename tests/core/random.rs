//! Random clients, a random Redis, and time that passes at random; each test under many seeds.

use fastrand::Rng;

use crate::world::multibulk;

mod disorder;
mod sequential;

/// The keys that all clients share. What they are called is nothing to the proxy.
pub const KEYS: [&str; 6] = ["a", "b", "ab", "", "k\r\n", "\0"];

/// What a request gets.
#[derive(Clone)]
pub enum Owed {
    /// Nothing: it is empty.
    Nothing,
    /// This reply.
    Reply(Vec<u8>),
    /// What Redis has for the key of this number.
    Value(usize),
    /// This reply, and then the end.
    Last(Vec<u8>),
}

/// A random request, in any of the ways that clients write it, and what it gets.
pub fn random_request(rng: &mut Rng) -> (Vec<u8>, Owed) {
    let (arguments, owed): (Vec<&str>, Owed) = match rng.u8(..20) {
        0 => (vec!["PING"], Owed::Reply(b"+PONG\r\n".to_vec())),
        1 => (
            vec!["PING", "hello"],
            Owed::Reply(b"$5\r\nhello\r\n".to_vec()),
        ),
        2 => (vec!["ECHO", ""], Owed::Reply(b"$0\r\n\r\n".to_vec())),
        3 => {
            let error = "-ERR wrong number of arguments for 'echo' command\r\n";
            (vec!["ECHO"], Owed::Reply(error.into()))
        }
        4 => {
            let error = "-ERR wrong number of arguments for 'get' command\r\n";
            (vec!["GET"], Owed::Reply(error.into()))
        }
        5 => {
            let empty = *rng.choice(&["\r\n", "*0\r\n", "*-1\r\n"]).unwrap_or(&"");
            return (empty.into(), Owed::Nothing);
        }
        _ => {
            let key = rng.usize(..KEYS.len());
            (vec!["GET", KEYS[key]], Owed::Value(key))
        }
    };
    let mut arguments: Vec<_> = arguments.into_iter().map(str::to_owned).collect();
    if rng.bool() {
        arguments[0].make_ascii_lowercase();
    }
    if rng.bool() {
        return (multibulk(&arguments), owed);
    }
    let quoted = arguments.iter().map(|argument| {
        let escaped = argument.replace('\r', "\\r").replace('\n', "\\n");
        format!("\"{}\"", escaped.replace('\0', "\\x00"))
    });
    let line = quoted.collect::<Vec<_>>().join(" ");
    (format!("{line}\n").into_bytes(), owed)
}

/// A request that is a client's last, and the reply to it.
pub fn random_last_request(rng: &mut Rng) -> (Vec<u8>, Owed) {
    let (request, reply) = match rng.u8(..3) {
        0 => ("QUIT\r\n", "+OK\r\n"),
        1 => (
            "*1\r\n$x\r\n",
            "-ERR Protocol error: invalid bulk length\r\n",
        ),
        _ => (
            "\"PING\r\n",
            "-ERR Protocol error: unbalanced quotes in request\r\n",
        ),
    };
    (request.into(), Owed::Last(reply.into()))
}

/// Names the seed of a run that failed.
pub struct Named(pub u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

/// Runs a test with each of `count` seeds.
pub fn for_seeds(count: u64, test: impl Fn(&mut Rng)) {
    for seed in 0..count {
        let named = Named(seed);
        test(&mut Rng::with_seed(named.0));
    }
}
