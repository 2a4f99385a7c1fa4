use super::*;

fn at(milliseconds: u64) -> Time {
    Time::from_millis(milliseconds)
}

fn login(password: Option<&str>) -> Login {
    Login {
        master: "m".to_owned(),
        username: None,
        password: password.map(Secret::new),
    }
}

fn tcp(host: &str, port: u16) -> RedisAddress {
    let host = host.to_owned();
    RedisAddress::Tcp { host, port }
}

fn connected(password: Option<&str>) -> Peer {
    let mut peer = Peer::new(tcp("s", 26_379), Duration::from_secs(1));
    peer.connected(&login(password), at(0));
    peer
}

/// The requests to it, with a space between two words and a bar between two commands.
fn said(peer: &mut Peer) -> String {
    let mut bytes = Vec::new();
    Source::send(peer, &mut bytes).expect("a list takes all");
    let text = String::from_utf8(bytes).expect("text");
    let words = text
        .split("\r\n")
        .filter(|word| !word.is_empty() && !word.starts_with('$'));
    let mut said = String::new();
    for word in words {
        let separator = match word.starts_with('*') {
            true => "|",
            false if said.ends_with('|') => "",
            false => " ",
        };
        said += separator;
        said += word.trim_start_matches(|c: char| c == '*' || c.is_ascii_digit());
    }
    said.trim_start_matches('|').to_owned()
}

const ASKED: &str =
    "SENTINEL GET-MASTER-ADDR-BY-NAME m|SENTINEL MASTER m|SUBSCRIBE +promoted-slave +switch-master";
const NAME: &str = "+OK\r\n";
const SUBSCRIBED: &str = "*3\r\n$9\r\nsubscribe\r\n$15\r\n+promoted-slave\r\n:1\r\n\
                          *3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:2\r\n";
const UNSUBSCRIBED: &str = "*3\r\n$11\r\nunsubscribe\r\n$15\r\n+promoted-slave\r\n:1\r\n\
                            *3\r\n$11\r\nunsubscribe\r\n$14\r\n+switch-master\r\n:0\r\n";
const MESSAGE: &str = "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$5\r\nm a b\r\n";

fn answers(port: u16, epoch: u64) -> String {
    let (port, epoch) = (port.to_string(), epoch.to_string());
    format!(
        "*2\r\n$1\r\nh\r\n${}\r\n{port}\r\n*4\r\n$4\r\nname\r\n$1\r\nm\r\n$12\r\nconfig-epoch\r\n${}\r\n{epoch}\r\n",
        port.len(),
        epoch.len()
    )
}

fn receive(peer: &mut Peer, text: &str, now: Time) -> Result<(), String> {
    // In two parts, wherever the first one ends.
    let (first, second) = text.as_bytes().split_at(text.len() / 3);
    peer.receive(first, &login(None), now)?;
    peer.receive(second, &login(None), now)
}

fn answer(port: u16, epoch: u64) -> Option<Answer> {
    Some(Answer {
        address: tcp("h", port),
        epoch: Some(epoch),
    })
}

#[test]
fn it_is_asked_and_subscribed_to_and_asked_anew_when_it_reports_something() {
    let mut peer = connected(None);
    assert_eq!(
        said(&mut peer),
        format!("CLIENT SETNAME redis-proxy|{ASKED}")
    );
    let all = [NAME, &answers(1, 4), SUBSCRIBED].concat();
    receive(&mut peer, &all, at(1)).expect("answers");
    assert_eq!(peer.answer, answer(1, 4));
    assert_eq!(peer.phase, Phase::Listening(at(5001)));
    assert_eq!(said(&mut peer), "");
    receive(&mut peer, MESSAGE, at(9)).expect("a message");
    assert_eq!(said(&mut peer), format!("UNSUBSCRIBE|{ASKED}"));
    // A report that arrives during its answer makes the proxy ask once more.
    let all = [UNSUBSCRIBED, &answers(1, 4), SUBSCRIBED, MESSAGE].concat();
    receive(&mut peer, &all, at(10)).expect("answers");
    assert_eq!(said(&mut peer), format!("UNSUBSCRIBE|{ASKED}"));
    let all = [MESSAGE, UNSUBSCRIBED, &answers(2, 5), SUBSCRIBED].concat();
    receive(&mut peer, &all, at(11)).expect("answers");
    assert_eq!(peer.answer, answer(2, 5));
}

#[test]
fn it_is_asked_from_time_to_time_and_more_often_if_it_reports_nothing() {
    let mut peer = connected(None);
    let all = [NAME, &answers(1, 4), SUBSCRIBED].concat();
    receive(&mut peer, &all, at(0)).expect("answers");
    said(&mut peer);
    peer.tick(&login(None), at(4999)).expect("nothing");
    assert_eq!(said(&mut peer), "");
    peer.tick(&login(None), at(5000)).expect("a question");
    assert_eq!(said(&mut peer), format!("UNSUBSCRIBE|{ASKED}"));
    let refused = "-NOPERM this user may not\r\n";
    let all = [UNSUBSCRIBED, &answers(1, 4), refused].concat();
    receive(&mut peer, &all, at(5000)).expect("answers");
    assert_eq!(peer.phase, Phase::Listening(at(6000)));
    peer.hurry(&login(None), at(5500));
    assert_eq!(said(&mut peer), ASKED);
}

#[test]
fn one_that_does_not_answer_is_given_up_and_its_answer_with_it() {
    let mut peer = connected(None);
    let all = [NAME, &answers(1, 4), SUBSCRIBED].concat();
    receive(&mut peer, &all, at(0)).expect("answers");
    peer.tick(&login(None), at(5000)).expect("a question");
    assert_eq!(peer.answer, answer(1, 4));
    peer.tick(&login(None), at(5999)).expect("patience");
    let reason = peer.tick(&login(None), at(6000)).expect_err("silence");
    assert_eq!(reason, "timed out after 1000 ms");
    assert!(peer.lost(reason.clone(), at(6000)));
    assert_eq!(
        (peer.answer.as_ref(), peer.phase),
        (None, Phase::Resting(at(6500)))
    );
    assert!(!peer.lost(reason, at(6500)), "it is no other reason");
    assert_eq!(peer.phase, Phase::Resting(at(7500)));
    peer.hurry(&login(None), at(7000));
    assert_eq!(peer.phase, Phase::Resting(at(7000)));
}

#[test]
fn what_is_wrong_says_what_to_do() {
    let refused = |password, replies: &[&str]| {
        let mut peer = connected(password);
        let result = receive(&mut peer, &replies.concat(), at(0));
        assert_eq!(peer.answer, None);
        result.expect_err("trouble")
    };
    let wrong = refused(Some("x"), &["-WRONGPASS invalid\r\n"]);
    assert!(
        wrong.contains("WRONGPASS invalid: set redis_sentinel_password"),
        "{wrong}"
    );
    let missing = refused(None, &["-NOAUTH first\r\n", "-NOAUTH first\r\n"]);
    assert!(
        missing.ends_with("NOAUTH first: set redis_sentinel_password"),
        "{missing}"
    );
    let unknown = refused(
        None,
        &[NAME, "*-1\r\n", "-ERR No such master with that name\r\n"],
    );
    assert!(
        unknown.starts_with("No such master with that name: redis_sentinel_master is \"m\""),
        "{unknown}"
    );
    let no_sentinel = refused(None, &[NAME, "-ERR unknown command 'SENTINEL'\r\n"]);
    assert!(
        no_sentinel.contains("it may not be a sentinel"),
        "{no_sentinel}"
    );
    let tls = refused(None, &["\x15\x03\x01"]);
    assert!(tls.ends_with("set redis_sentinel_tls on"), "{tls}");
    let rights = refused(None, &[NAME, "-NOPERM no\r\n"]);
    assert!(
        rights.contains("+sentinel|get-master-addr-by-name"),
        "{rights}"
    );
    refused(None, &["HTTP/1.1 400\r\n"]);
    refused(None, &[NAME, "$1000000\r\n"]);
}

#[test]
fn nothing_that_a_sentinel_sends_ends_the_proxy() {
    let mut random = fastrand::Rng::with_seed(7);
    let pieces = [
        NAME,
        SUBSCRIBED,
        UNSUBSCRIBED,
        MESSAGE,
        "*-1\r\n",
        "*2\r\n",
        "$1\r\nh\r\n",
        ":1\r\n",
        "-ERR\r\n",
        "_\r\n",
        ">1\r\n",
    ];
    for _ in 0..2000 {
        let mut peer = connected(None);
        for _ in 0..random.usize(..12) {
            let piece = pieces[random.usize(..pieces.len())];
            if receive(&mut peer, piece, at(1)).is_err() {
                peer.lost("trouble".to_owned(), at(1));
                peer.connected(&login(None), at(2));
            }
        }
    }
}
