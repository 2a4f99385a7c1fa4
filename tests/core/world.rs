//! A proxy without a socket, in a world that stands still: time passes when a test says so, Redis
//! answers what a test has it answer, and clients keep every byte.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use redis_proxy::cache::Limits;
use redis_proxy::clock::Time;
use redis_proxy::command::internal;
use redis_proxy::command::read_specs;
use redis_proxy::proxy::{Access, ClientId, Ending, Proxy};
use redis_proxy::resp::Protocol;
use redis_proxy::upstream::{
    Backend, Batch, Event, Invalidated, LinkId, NodeId, Replies, Tracking,
};

/// A request as Redis receives it: its arguments.
pub type Request = Vec<Vec<u8>>;

pub struct World {
    pub proxy: Proxy,
    /// The milliseconds since the start.
    pub now: u64,
    /// What Redis was asked and has not answered, the oldest first, with the link that it was asked on.
    asked: VecDeque<(LinkId, Request)>,
    /// Redis says by itself that keys live for ever, or are missing.
    keys_live: bool,
    slots: Vec<Option<Client>>,
}

/// The other end of a client's connection.
struct Client {
    received: Vec<u8>,
    /// How many bytes more it takes.
    takes: usize,
    /// The proxy has said all: it would close the connection.
    done: bool,
}

/// A socket that takes so many bytes and then none.
struct Socket<'a>(&'a mut Client);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0.takes);
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.takes -= taken;
        self.0.received.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A time to live of a second, and room for all that a test caches.
pub fn roomy() -> Limits {
    Limits {
        entries: 1000,
        memory: 0,
        reply: 0,
        ttl: Duration::from_secs(1),
        stale_ttl: Duration::ZERO,
    }
}

impl World {
    /// A proxy that Redis can be reached from.
    pub fn new(limits: Limits) -> Self {
        let mut world = Self::unheard(limits);
        world.up();
        world
    }

    /// A proxy that has not heard from Redis yet.
    pub fn unheard(limits: Limits) -> Self {
        Self {
            proxy: Proxy::new(limits, Access::default(), 0),
            now: 1000,
            asked: VecDeque::new(),
            keys_live: true,
            slots: Vec::new(),
        }
    }

    pub fn roomy() -> Self {
        Self::new(roomy())
    }

    pub fn time(&self) -> Time {
        Time::from_millis(self.now)
    }

    /// A new client, in the first slot that is free. It takes every byte at once.
    pub fn connect(&mut self) -> ClientId {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.slots.len());
        self.slots
            .resize_with(self.slots.len().max(slot + 1), || None);
        self.slots[slot] = Some(Client {
            received: Vec::new(),
            takes: usize::MAX,
            done: false,
        });
        let now = self.time();
        self.proxy.connect(ClientId(slot), None, now);
        ClientId(slot)
    }

    /// The connection of a client is gone.
    pub fn leave(&mut self, client: ClientId) {
        self.slots[client.0] = None;
        let now = self.time();
        self.proxy.disconnect(client, now);
        self.turn();
    }

    fn client(&mut self, client: ClientId) -> &mut Client {
        self.slots[client.0].as_mut().expect("it is connected")
    }

    /// A client sends bytes that the proxy is to want.
    #[track_caller]
    pub fn send(&mut self, client: ClientId, bytes: impl AsRef<[u8]>) {
        assert!(self.proxy.wants_input(client));
        let now = self.time();
        self.proxy.receive(client, bytes.as_ref(), now);
        self.turn();
    }

    /// A client will send nothing more.
    pub fn end(&mut self, client: ClientId) {
        self.proxy.end_of_input(client, Ending::Left);
        self.turn();
    }

    /// A client takes so many bytes more and then none.
    pub fn take(&mut self, client: ClientId, bytes: usize) {
        self.client(client).takes = bytes;
        self.proxy.look_again(client);
        self.turn();
    }

    /// A client takes no more bytes.
    pub fn stop_taking(&mut self, client: ClientId) {
        self.take(client, 0);
    }

    /// A client takes all that it is owed, and all that comes.
    pub fn take_all(&mut self, client: ClientId) {
        self.take(client, usize::MAX);
    }

    /// What a client received since the last look.
    pub fn received(&mut self, client: ClientId) -> Vec<u8> {
        std::mem::take(&mut self.client(client).received)
    }

    /// Checks what a client received since the last look.
    #[track_caller]
    pub fn assert_received(&mut self, client: ClientId, expected: impl AsRef<[u8]>) {
        let (received, expected) = (self.received(client), expected.as_ref());
        if received == expected {
            return;
        }
        let same = received.iter().zip(expected).take_while(|(a, b)| a == b);
        let from = same.count().saturating_sub(20);
        let shown = |bytes: &[u8]| {
            let end = bytes.len().min(from + 200);
            bytes[from..end].escape_ascii().to_string()
        };
        panic!(
            "from byte {from} of {} and of {}:\nreceived …{}\nexpected …{}",
            received.len(),
            expected.len(),
            shown(&received),
            shown(expected),
        );
    }

    /// Whether the proxy would close a client's connection.
    pub fn is_done(&mut self, client: ClientId) -> bool {
        self.client(client).done
    }

    /// Whether the proxy waits for more of a client.
    pub fn wants_input(&self, client: ClientId) -> bool {
        self.proxy.wants_input(client)
    }

    /// How many bytes all clients together hold.
    pub fn held(&mut self) -> usize {
        let now = self.time();
        self.proxy.status(now).buffers.0
    }

    /// How many bytes a client is offered that it has not taken.
    pub fn offered(&mut self, client: ClientId) -> usize {
        self.proxy.output(client).len()
    }

    /// Checks what Redis was asked and has not answered, a request a word group.
    #[track_caller]
    pub fn assert_asked(&self, expected: &[&str]) {
        let asked: Vec<_> = self.asked().into_iter().map(text).collect();
        assert_eq!(asked, expected);
    }

    /// What Redis was asked and has not answered, the oldest first; save what it answers by itself.
    pub fn asked(&self) -> Vec<&Request> {
        let requests = self.asked.iter().map(|(_, request)| request);
        requests
            .filter(|request| !self.keys_live || request[0] != b"PTTL")
            .collect()
    }

    /// Redis answers the oldest request.
    #[track_caller]
    pub fn answer(&mut self, reply: impl AsRef<[u8]>) {
        self.answer_together(&[reply]);
    }

    /// Redis answers the oldest requests, in one go.
    #[track_caller]
    pub fn answer_together<R: AsRef<[u8]>>(&mut self, encoded: &[R]) {
        let mut answers: Vec<(LinkId, Replies)> = Vec::new();
        for reply in encoded {
            let reply = reply.as_ref();
            let (link, _) = self.asked.pop_front().expect("Redis was asked");
            if answers.last().is_none_or(|(last, _)| *last != link) {
                answers.push((link, Replies::default()));
            }
            let (_, replies) = answers.last_mut().expect("one was added");
            replies.push(reply);
            let lives = self.keys_live.then_some(self.asked.front()).flatten();
            if lives.is_some_and(|(_, request)| request[0] == b"PTTL") {
                self.asked.pop_front();
                let is_null = reply == b"$-1\r\n" || reply == b"_\r\n";
                let no_deadline = if is_null { ":-2\r\n" } else { ":-1\r\n" };
                replies.push(no_deadline.as_bytes());
            }
        }
        for (link, replies) in answers {
            self.tell(&Event::Replies { link, replies });
        }
    }

    /// Redis answers the oldest requests of a link, those for times to live among them.
    #[track_caller]
    pub fn answer_on(&mut self, link: Protocol, encoded: &[&str]) {
        self.answer_in(0, link, encoded);
    }

    /// The same on a link for that database.
    #[track_caller]
    pub fn answer_in(&mut self, database: u32, protocol: Protocol, encoded: &[&str]) {
        let link = LinkId::new(protocol, database);
        let mut replies = Replies::default();
        for reply in encoded {
            let at = self.asked.iter().position(|(known, _)| *known == link);
            self.asked.remove(at.expect("Redis was asked"));
            replies.push(reply.as_bytes());
        }
        self.tell(&Event::Replies { link, replies });
    }

    /// Redis can be reached, and reports what changes.
    pub fn up(&mut self) {
        self.keys_live = true;
        self.tell(&Event::Up(Backend::default()));
        self.tell(&Event::Tracking(Tracking::On));
    }

    /// Redis can be reached; whether it reports what changes is not known yet.
    pub fn up_and_no_more(&mut self) {
        self.tell(&Event::Up(Backend::default()));
    }

    /// Redis can be reached, and does not report what changes. How long a key has to live it says as the test has it.
    pub fn up_without_tracking(&mut self) {
        self.keys_live = false;
        self.tell(&Event::Up(Backend::default()));
        self.tell(&Event::Tracking(Tracking::Off { refused: None }));
    }

    /// How long a key has to live Redis says as the test has it.
    pub fn let_keys_die(&mut self) {
        self.keys_live = false;
    }

    /// The oldest requests of a link, so many, are late.
    pub fn be_late(&mut self, link: Protocol, count: usize, error: &str) {
        let link = LinkId::new(link, 0);
        let error = error.as_bytes().to_vec();
        self.tell(&Event::Late { link, count, error });
    }

    /// Redis closes clients to which it owes so many bytes; 0 for no limit.
    pub fn limit_output(&mut self, limit: usize) {
        self.tell(&Event::OutputLimit(limit));
    }

    /// Redis sends this on a client's dedicated connection.
    pub fn receive_dedicated(&mut self, client: ClientId, bytes: impl AsRef<[u8]>) {
        let now = self.time();
        self.proxy.receive_dedicated(client, bytes.as_ref(), now);
        self.turn();
    }

    /// All changes are reported that were made before that barrier was asked for.
    pub fn pass_barrier(&mut self, number: u64) {
        self.tell(&Event::Barrier(number));
    }

    /// Redis can be reached again, and is the one with this `run_id`.
    pub fn up_as(&mut self, run_id: &str) {
        self.up_as_and_no_more(run_id);
        self.tell(&Event::Tracking(Tracking::On));
    }

    /// The same; whether it reports what changes is as before.
    pub fn up_as_and_no_more(&mut self, run_id: &str) {
        self.tell(&Event::Up(Backend {
            run_id: Some(run_id.to_owned()),
            ..Backend::default()
        }));
    }

    /// Redis is another server by now, which is not reached yet.
    pub fn moved(&mut self) {
        self.tell(&Event::Moved);
    }

    /// Redis can't say for now what changes.
    pub fn miss_tracking(&mut self) {
        self.tell(&Event::Tracking(Tracking::Missing));
    }

    /// The tracker is silent, or is heard from again.
    pub fn suspend(&mut self, suspended: bool) {
        self.tell(&Event::Tracking(if suspended {
            Tracking::Suspended
        } else {
            Tracking::Resumed
        }));
    }

    /// Redis can be reached, and has told of these commands.
    pub fn up_with_commands(&mut self, names: &[&str]) {
        let described: Vec<Vec<u8>> = names.iter().map(|name| described(name)).collect();
        self.up_with(&described);
    }

    /// The same, in its own words.
    pub fn up_with(&mut self, described: &[Vec<u8>]) {
        let header = format!("*{}\r\n", described.len()).into_bytes();
        let reply = [header, described.concat()].concat();
        self.tell(&Event::Up(Backend {
            commands: read_specs(&reply),
            ..Backend::default()
        }));
        self.tell(&Event::Tracking(Tracking::On));
    }

    /// Redis refuses the proxy; `error` is the encoded reply that says so.
    pub fn down(&mut self, error: impl AsRef<[u8]>) {
        let error = error.as_ref().to_vec();
        let refused = true;
        self.tell(&Event::Down { error, refused });
    }

    /// Redis is lost, and may be back in a moment.
    pub fn lose(&mut self) {
        self.tell(&Event::Away);
    }

    /// Redis can't be reached any more.
    pub fn gone(&mut self) {
        self.silent();
        self.tell(&Event::Gone);
    }

    /// Redis has been silent for long. It may only be busy.
    pub fn silent(&mut self) {
        let error = b"-ERR backing Redis at redis:6379 can't be reached: gone\r\n".to_vec();
        let refused = false;
        self.tell(&Event::Down { error, refused });
    }

    /// Redis says that a key changed.
    pub fn invalidate(&mut self, key: &str) {
        self.invalidate_together(&[key]);
    }

    /// Redis says that these keys changed, in one go.
    pub fn invalidate_together(&mut self, keys: &[&str]) {
        self.tell(&Event::Invalidated(Invalidated {
            keys: keys.iter().map(|key| key.as_bytes().into()).collect(),
            all: false,
        }));
    }

    /// Redis says that all keys went.
    pub fn invalidate_all(&mut self) {
        self.tell(&Event::Invalidated(Invalidated {
            keys: Vec::new(),
            all: true,
        }));
    }

    /// Redis does not say any more what changes.
    pub fn lose_tracking(&mut self) {
        self.tell(&Event::Tracking(Tracking::Lost));
    }

    fn tell(&mut self, event: &Event) {
        self.tell_of(NodeId::default(), event);
    }

    /// Something happened to a node of the cluster.
    pub fn tell_of(&mut self, node: NodeId, event: &Event) {
        let now = self.time();
        self.proxy
            .upstream_part(node, event, &mut 0, usize::MAX, now);
        self.turn();
    }

    /// What was asked and is not answered, the oldest first, and which node; save what is answered by itself.
    pub fn asked_of_nodes(&self) -> Vec<(u16, String)> {
        let asked = self.asked.iter();
        let asked = asked.filter(|(_, request)| !self.keys_live || request[0] != b"PTTL");
        asked
            .map(|(link, request)| (link.node.0, text(request)))
            .collect()
    }

    /// Time passes.
    pub fn wait(&mut self, milliseconds: u64) {
        self.now += milliseconds;
    }

    /// The proxy looks for entries that are past their time. Returns how many went.
    pub fn expire(&mut self) -> usize {
        let now = self.time();
        self.proxy.expire(now)
    }

    /// Has Redis give `value` for `key` to one who leaves then, so that it is cached.
    #[track_caller]
    pub fn cache(&mut self, key: &str, value: impl AsRef<[u8]>) {
        let client = self.connect();
        self.send(client, get(key));
        self.answer(bulk(value));
        self.leave(client);
    }

    /// What the shell does at the end of each turn of its loop: takes the requests for Redis, and looks
    /// after the clients that the proxy names, and no others.
    pub fn turn(&mut self) {
        let now = self.time();
        self.proxy.work(now);
        while self.proxy.has_work() {
            self.proxy.work(now);
        }
        let is_due = |due: Option<Time>| due.is_some_and(|due| due <= now);
        assert!(!is_due(self.proxy.work_due()), "what is due is done");
        self.proxy.send_parked(now);
        assert!(!is_due(self.proxy.parked_until()), "what is due is sent");
        self.take_requests();
        self.look_after_clients();
    }

    /// Does so without taking requests first.
    pub fn look_after_clients(&mut self) {
        let mut looks = 0;
        while let Some(id) = self.proxy.next_changed() {
            looks += 1;
            assert!(looks < 100_000, "the proxy comes to rest");
            let Some(client) = self.slots.get_mut(id.0).and_then(Option::as_mut) else {
                continue;
            };
            let output = self.proxy.output(id);
            assert!(!client.done || output.is_empty(), "all was said to {id:?}");
            while !output.is_empty() && output.send(&mut Socket(client)).is_ok() {}
            self.proxy.output_sent(id);
            if self.proxy.is_done(id) {
                client.done = true;
            } else if self.proxy.can_resume(id) {
                let now = Time::from_millis(self.now);
                self.proxy.resume(id, now);
                self.take_requests();
            }
        }
    }

    fn take_requests(&mut self) {
        for (link, batch) in self.proxy.requests().iter_mut() {
            let batch = std::mem::take(batch);
            let asked = decode(&batch).into_iter();
            self.asked
                .extend(asked.map(|request| (link, in_capitals(request))));
        }
    }
}

/// The words of a request.
fn text(request: &Request) -> String {
    let arguments = request.iter().map(|a| a.escape_ascii().to_string());
    arguments.collect::<Vec<_>>().join(" ")
}

/// A request with its name in capitals, if it is one of the proxy's own, which are spelled as no other, or a GET, which
/// is spelled as the client does.
fn in_capitals(mut request: Request) -> Request {
    let subcommand = request.get(1).map(|word| &word[..]);
    if internal::is_internal(&request[0], subcommand) || request[0] == b"get" {
        request[0].make_ascii_uppercase();
    }
    request
}

/// The requests of a batch.
fn decode(batch: &Batch) -> Vec<Request> {
    let mut start = 0;
    let mut requests = Vec::new();
    for request in &batch.requests {
        requests.push(arguments(&batch.bytes[start..request.end]));
        start = request.end;
    }
    assert_eq!(start, batch.bytes.len());
    requests
}

/// The arguments of a request that is an array of bulk strings, and nothing more.
fn arguments(mut bytes: &[u8]) -> Request {
    let arguments = (0..header(&mut bytes, b'*'))
        .map(|_| {
            let length = header(&mut bytes, b'$');
            let (argument, rest) = bytes.split_at(length);
            bytes = rest.strip_prefix(b"\r\n").expect("a line end");
            argument.to_vec()
        })
        .collect();
    assert_eq!(bytes, b"");
    arguments
}

/// Steps over a header line; returns its number.
fn header(bytes: &mut &[u8], kind: u8) -> usize {
    let end = bytes.iter().position(|&byte| byte == b'\r');
    let (line, rest) = bytes.split_at(end.expect("a line"));
    assert_eq!(line[0], kind);
    *bytes = &rest[2..];
    let number = str::from_utf8(&line[1..]).expect("digits");
    number.parse().expect("a number")
}

/// How Redis describes a command that takes no key.
pub fn described(name: &str) -> Vec<u8> {
    let fields = b":-1\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*0\r\n";
    [b"*10\r\n", &bulk(name)[..], fields].concat()
}

/// How Redis describes a command that only reads the key which is its first argument.
pub fn described_read(name: &str) -> Vec<u8> {
    let fields = b":-2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n";
    [b"*10\r\n", &bulk(name)[..], fields].concat()
}

/// A bulk string.
pub fn bulk(value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

/// A request as a client library sends it.
pub fn multibulk<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(&bulk(argument));
    }
    bytes
}

pub fn get(key: &str) -> Vec<u8> {
    multibulk(&["GET", key])
}
