//! A proxy that answers `GET clock` itself, and shows prices, which are kept in cents, as `12.34`. It takes the flags of
//! the program.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use redis_proxy::config::{self, Invocation};
use redis_proxy::hooks::{After, Before, Client, Hook, Value, Wants};
use redis_proxy::logging;
use redis_proxy::resp::reply::bulk_value;
use redis_proxy::resp::request::Request;
use redis_proxy::server::Server;

struct Clock;

impl Hook for Clock {
    fn wants(&self) -> Wants {
        Wants::commands("get").keys("clock")
    }

    fn before(&mut self, _: &Request<'_>, _: &Client<'_>) -> Before {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Before::Reply(Value::bulk(now.unwrap_or_default().as_secs().to_string()))
    }
}

struct Prices;

impl Hook for Prices {
    fn wants(&self) -> Wants {
        Wants::commands("get").keys("price:*").replies()
    }

    fn after(&mut self, _: &Request<'_>, reply: &[u8], _: &Client<'_>) -> After {
        let cents = bulk_value(reply).and_then(|cents| str::from_utf8(cents).ok());
        match cents.and_then(|cents| cents.parse::<u64>().ok()) {
            Some(cents) => {
                After::Rewrite(Value::bulk(format!("{}.{:02}", cents / 100, cents % 100)))
            }
            None => After::Pass,
        }
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
    Server::builder()
        .config(config)
        .hook(Clock)
        .hook(Prices)
        .run()
}
