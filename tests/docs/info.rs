//! Every field of `INFO` that Redis does not have is explained.

use crate::common::{Client, Proxy, RedisServer};
use crate::document::{path, text};

#[test]
fn operation_md_explains_every_field_of_info_that_redis_does_not_have() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let info = |mut client: Client| {
        let reply = client.command(&["INFO", "everything"]);
        String::from_utf8(reply).expect("text")
    };
    let (ours, theirs) = (info(proxy.client()), info(redis.client()));
    let document = text(&path("docs/operation.md"));
    let names = |info: &str| -> Vec<String> {
        let names = info.lines().filter_map(|line| line.split_once(':'));
        names.map(|(name, _)| name.to_owned()).collect()
    };
    let known = names(&theirs);
    let mut checked = 0;
    for name in names(&ours) {
        let is_theirs = known.contains(&name) || name.starts_with("cmdstat_");
        if !is_theirs && !name.starts_with("requests_") {
            assert!(
                document.contains(&format!("`{name}`")),
                "{name} is not explained"
            );
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} of {ours}");
}
