//! What the nodes send reaches the core: replies, reports of changes, and the map.

use super::*;

impl World {
    /// The helper reports an event of a node.
    pub(super) fn report(&mut self, node: NodeNumber, event: &Event) {
        let now = self.time();
        self.proxy
            .upstream_part(id(node), event, &mut 0, usize::MAX, now);
    }

    /// A node is connected to.
    pub(super) fn open(&mut self, node: NodeNumber) {
        let it = &mut self.nodes.nodes[node];
        it.is_open = true;
        it.is_given_up = false;
        self.report(node, &Event::Up(Backend::default()));
    }

    /// Its tracker is connected: what it has from now on is what later requests get.
    pub(super) fn open_tracker(&mut self, node: NodeNumber) {
        self.nodes.nodes[node].open_tracker();
        self.report(node, &Event::Tracking(Tracking::On));
        for key in 0..KEYS {
            if self.owner(key) == id(node) {
                self.know(key, self.nodes.versions[key]);
            }
        }
    }

    pub(super) fn notice(&mut self, node: NodeNumber, arrived: bool, were_sent: bool) {
        self.trouble = true;
        for link in 0..LINKS {
            let line = self.nodes.nodes[node].links[link].iter();
            let answered = line.take_while(|item| item.reply.is_some()).count();
            if arrived && answered > 0 {
                self.hear(node, link, answered);
            }
        }
        self.nodes.nodes[node].renew(were_sent);
        self.report(node, &Event::Tracking(Tracking::Lost));
        self.report(node, &Event::Away);
    }

    pub(super) fn hear_map(&mut self, leaves: Leaves) {
        let Some(map) = self.next_map.take() else {
            return;
        };
        for node in 0..NODES {
            let it = &mut self.nodes.nodes[node];
            if it.is_known && !map.masters[node] {
                self.trouble = true;
                let answers = it.is_open && !it.is_broken && !it.is_dead;
                match leaves {
                    Leaves::Answering if answers => it.retire(leaves),
                    Leaves::Answering => it.retire(Leaves::Sent),
                    _ => it.retire(leaves),
                }
                if !it.is_open {
                    self.hear_all(node);
                }
            } else {
                it.is_known |= map.masters[node];
            }
        }
        self.map = map;
        let before = std::array::from_fn::<_, KEYS, _>(|key| self.owner(key));
        self.report(0, &Event::Slots(map.encode()));
        for (key, before) in before.into_iter().enumerate() {
            if before != self.owner(key) {
                self.know(key, self.nodes.versions[key]);
            }
        }
    }

    /// So many replies of a link reach the core.
    pub(super) fn hear(&mut self, node: NodeNumber, link: Link, count: usize) {
        let mut replies = Replies::default();
        for _ in 0..count {
            let Some(item) = self.nodes.nodes[node].links[link].pop_front() else {
                break;
            };
            if let Request::Get(key) | Request::GetRange(key) | Request::TimeToLive(key) =
                item.request
            {
                self.fetched[key] = self.now;
            }
            replies.push(&item.reply.unwrap_or_default());
        }
        let link = LinkId::new(PROTOCOLS[link], 0).at(id(node));
        self.report(node, &Event::Replies { link, replies });
    }

    /// All replies reach the core.
    pub(super) fn hear_all(&mut self, node: NodeNumber) {
        for link in 0..LINKS {
            let count = self.nodes.nodes[node].links[link].len();
            if count > 0 {
                self.hear(node, link, count);
            }
        }
    }

    pub(super) fn hear_tracker(&mut self, node: NodeNumber) {
        if let Some((key, version)) = self.nodes.nodes[node].reports.pop_front() {
            let mut invalidated = Invalidated::default();
            invalidated.keys.push(NAMES[key].as_bytes().into());
            self.report(node, &Event::Invalidated(invalidated));
            self.know(key, version);
        }
    }
}
