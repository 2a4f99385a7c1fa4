//! A proxy that logs a line for each write of a key `user:*`. It takes the flags of the program:
//!
//! ```sh
//! cargo run --example audit -- --port 8001 --redis_hostname localhost:6379
//! ```

use std::io;

use redis_proxy::config::{self, Invocation};
use redis_proxy::hooks::{Before, Client, Hook, Wants};
use redis_proxy::logging;
use redis_proxy::resp::request::Request;
use redis_proxy::server::Server;

/// Logs who writes what, though not the value.
struct Audit;

impl Hook for Audit {
    fn wants(&self) -> Wants {
        Wants::commands("@write").keys("user:*")
    }

    fn before(&mut self, request: &Request<'_>, client: &Client<'_>) -> Before {
        let words: Vec<String> = request
            .arguments()
            .take(2)
            .map(|word| word.escape_ascii().to_string())
            .collect();
        let user = String::from_utf8_lossy(client.user);
        let address = client.peer.map(ToString::to_string);
        log::info!(user:%, address, command = words[0], key = words.get(1); "audit");
        Before::Pass
    }
}

fn main() -> io::Result<()> {
    let config = match config::from_environment().map_err(io::Error::other)? {
        Invocation::Run(config) => *config,
        Invocation::Print(text) => {
            print!("{text}");
            return Ok(());
        }
    };
    let _log = logging::start(config.log_level, config.log_format)?;
    Server::builder().config(config).hook(Audit).run()
}
