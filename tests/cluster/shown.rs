//! What INFO, the metrics and the page show of each node.

use crate::common::cluster::{Cluster, MASTERS, SLOTS};
use crate::common::{Http, eventually};

/// A node, as INFO shows it.
#[derive(Debug)]
struct Shown(String);

impl Shown {
    #[track_caller]
    fn field(&self, name: &str) -> &str {
        let start = format!("{name}=");
        let mut fields = self.0.split(',');
        let field = fields.find_map(|field| field.strip_prefix(&start));
        field.unwrap_or_else(|| panic!("no {name} in {:?}", self.0))
    }

    #[track_caller]
    fn number(&self, name: &str) -> u64 {
        self.field(name).parse().expect("a number")
    }
}

/// The nodes, as INFO shows them, the one at this address alone.
fn shown(http: &Http, address: &str) -> Option<Shown> {
    let info = http.proxy.client().command(&["INFO", "upstream"]);
    let info = String::from_utf8_lossy(&info).into_owned();
    let nodes = info
        .lines()
        .filter(|line| line.starts_with("upstream_node_"));
    let mut nodes = nodes.filter_map(|line| line.split_once(':'));
    nodes.find_map(|(_, node)| {
        let node = Shown(node.to_owned());
        (node.field("address") == address).then_some(node)
    })
}

/// What the page shows of the node at this address under a name, in JSON.
#[track_caller]
fn on_page(http: &Http, address: &str, name: &str) -> String {
    let page = http.get("/status.json").body;
    let nodes = page.split('{');
    let mut nodes = nodes.filter(|node| node.contains(&format!("\"{address}\"")));
    let node = nodes.find_map(|node| node.split('}').next());
    let fields = node.into_iter().flat_map(|node| node.split(','));
    let mut fields = fields.filter_map(|field| field.split_once(':'));
    let field = fields.find_map(|(known, value)| (known == format!("\"{name}\"")).then_some(value));
    field
        .map(str::to_owned)
        .unwrap_or_else(|| panic!("no {name} of {address} in {page}"))
}

#[test]
fn each_master_is_shown_with_its_state_slots_and_keys() {
    let mut cluster = Cluster::start();
    let seeds = cluster.seeds();
    let http = Http::start_with(&[
        "--redis_cluster",
        &seeds,
        // As long as this, it can be seen that a request waits.
        "--redis_timeout",
        "3000",
        "--redis_wait",
        "30000",
    ]);
    http.proxy.wait_for_redis();
    let mut client = http.proxy.client();
    for master in 0..MASTERS {
        for key in cluster.keys_at(master, 10 + master) {
            // That a key is missing is cached for a second only.
            cluster.set(&key, "value");
            client.get(&key);
        }
    }
    let mut slots = 0;
    for master in 0..MASTERS {
        let address = cluster.node(master).address();
        let node = shown(&http, &address).expect("it is a master");
        assert_eq!(node.field("status"), "up");
        assert_eq!(node.field("tracking"), "on");
        assert_eq!(node.number("cached_keys"), 10 + master as u64);
        assert!(node.number("round_trip_usec") > 0, "{node:?}");
        slots += node.number("slots");
        let metric =
            |name: &str| http.metric(&format!("redis_proxy_node_{name}{{node=\"{address}\"}}"));
        assert_eq!(metric("up"), 1.0);
        assert_eq!(metric("slots"), node.number("slots") as f64);
        assert_eq!(metric("cached_keys"), (10 + master) as f64);
        assert!(metric("round_trip_seconds") > 0.0);
        let on_page = |name: &str| on_page(&http, &address, name);
        assert_eq!(on_page("state"), "\"up\"");
        assert_eq!(on_page("tracking"), "\"on\"");
        assert_eq!(on_page("slots"), node.field("slots"));
        assert_eq!(on_page("keys"), node.field("cached_keys"));
        assert_eq!(on_page("in_flight"), "0");
    }
    assert_eq!(slots, u64::from(SLOTS));
    // One that hangs is known to be away.
    let (hung, address) = (cluster.node(1), cluster.node(1).address());
    hung.server().pause();
    let key = cluster.tag_at(1);
    client.send(format!("SET {key} value\r\n"));
    eventually("a request waits for it", || {
        shown(&http, &address).is_some_and(|node| node.number("in_flight") > 0)
    });
    let in_flight = format!("redis_proxy_node_in_flight{{node=\"{address}\"}}");
    assert!(http.metric(&in_flight) > 0.0);
    assert_ne!(on_page(&http, &address, "in_flight"), "0");
    eventually("it is away", || {
        shown(&http, &address).is_some_and(|node| node.field("status") != "up")
    });
    let up = format!("redis_proxy_node_up{{node=\"{address}\"}}");
    assert_eq!(http.metric(&up), 0.0);
    hung.server().resume();
    eventually("it is back", || http.metric(&up) == 1.0);
    // One that has a successor is shown no more.
    let before = shown(&http, &cluster.node(0).address()).expect("a master");
    cluster.fail_over(0, MASTERS);
    let (old, new) = (cluster.node(0).address(), cluster.node(MASTERS).address());
    eventually("its successor is shown", || {
        let node = shown(&http, &new);
        node.is_some_and(|node| {
            node.field("status") == "up" && node.number("slots") == before.number("slots")
        })
    });
    assert!(shown(&http, &old).is_none());
    assert!(!http.metrics().contains(&format!("node=\"{old}\"")));
}
