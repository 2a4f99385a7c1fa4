//! A sentinel's view of the master, and which view wins if several disagree.

use super::peer::Peer;
use crate::config::RedisAddress;
use crate::resp::integer;
use crate::resp::read::Reader;

/// A sentinel's view of the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The address of the master.
    pub address: RedisAddress,
    /// The number of the master's configuration (`config-epoch`), which each failover raises. `None` if the sentinel's
    /// user may not see it.
    pub epoch: Option<u64>,
}

/// The address in a reply to `SENTINEL GET-MASTER-ADDR-BY-NAME`; `None` if the sentinel knows no such master.
///
/// # Errors
/// If the reply has another form.
pub(super) fn address(reply: &[u8]) -> Result<Option<RedisAddress>, String> {
    if Reader::new(reply).null() {
        return Ok(None);
    }
    let read = || {
        let mut reader = Reader::new(reply);
        (reader.array()? == 2).then_some(())?;
        let host = std::str::from_utf8(reader.text()?).ok()?;
        let port = u16::try_from(integer(reader.text()?)?).ok()?;
        let is_fit = !host.is_empty() && host.len() <= 253 && !host.contains(char::is_control);
        (is_fit && port != 0).then(|| RedisAddress::Tcp {
            host: host.to_owned(),
            port,
        })
    };
    match read() {
        Some(address) => Ok(Some(address)),
        None => Err("it reports no address of a master".to_owned()),
    }
}

/// The `config-epoch` in a reply to `SENTINEL MASTER`, if it is there.
pub(super) fn epoch(reply: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(reply);
    for _ in 0..reader.array()? / 2 {
        if reader.text()? == b"config-epoch" {
            return u64::try_from(integer(reader.text()?)?).ok();
        }
        reader.skip(1)?;
    }
    None
}

/// Which sentinel's answer wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The sentinel at this index.
    Of(usize),
    /// It is not known yet, as too few have answered.
    Open,
    /// No answer: the sentinels that have answered, if any, are behind what was known before.
    None,
}

/// Chooses among the sentinels' answers. `known` is the epoch of the master that was followed before, if any.
///
/// The highest epoch wins, then the majority, then the first sentinel. So a sentinel that was cut off or stopped does
/// not lead back to an old master. An epoch lower than the known one is accepted only from more than half of all
/// sentinels, as when all were set up anew. At first, a majority must have answered, or all must have had their chance.
pub(super) fn choose(peers: &[&Peer], known: Option<u64>) -> Choice {
    let answers = || {
        let all = peers.iter().enumerate();
        all.filter_map(|(at, peer)| Some((at, peer.answer.as_ref()?)))
    };
    let is_majority = |count: usize| count * 2 > peers.len();
    let are_settled = peers
        .iter()
        .all(|peer| peer.answer.is_some() || peer.trouble.is_some());
    if !are_settled && !is_majority(answers().count()) {
        return Choice::Open;
    }
    let votes = |answer: &Answer| answers().filter(|(_, other)| *other == answer).count();
    let best = answers().max_by_key(|(at, answer)| {
        (
            answer.epoch.unwrap_or_default(),
            votes(answer),
            usize::MAX - at,
        )
    });
    match best {
        Some((_, answer))
            if answer.epoch.is_some() && answer.epoch < known && !is_majority(votes(answer)) =>
        {
            Choice::None
        }
        Some((at, _)) => Choice::Of(at),
        None => Choice::None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tcp(host: &str, port: u16) -> RedisAddress {
        let host = host.to_owned();
        RedisAddress::Tcp { host, port }
    }

    #[test]
    fn an_address_is_read_and_nothing_else_is_taken_for_one() {
        let known = |reply: &str| address(reply.as_bytes());
        assert_eq!(
            known("*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n"),
            Ok(Some(tcp("127.0.0.1", 6379)))
        );
        assert_eq!(
            known("*2\r\n$3\r\n::1\r\n$1\r\n1\r\n"),
            Ok(Some(tcp("::1", 1)))
        );
        assert_eq!(known("*-1\r\n"), Ok(None));
        assert_eq!(known("_\r\n"), Ok(None));
        for reply in [
            "+OK\r\n",
            "*0\r\n",
            "*2\r\n$0\r\n\r\n$1\r\n1\r\n",
            "*2\r\n$1\r\na\r\n$1\r\n0\r\n",
            "*2\r\n$1\r\na\r\n$5\r\n65536\r\n",
            "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            "*2\r\n$1\r\n\n\r\n$1\r\n1\r\n",
            "*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n1\r\n",
        ] {
            assert!(known(reply).is_err(), "{reply:?}");
        }
    }

    #[test]
    fn the_number_of_the_configuration_is_found_among_the_other_fields() {
        let reply = b"*4\r\n$4\r\nname\r\n$1\r\nm\r\n$12\r\nconfig-epoch\r\n$2\r\n17\r\n";
        assert_eq!(epoch(reply), Some(17));
        assert_eq!(epoch(b"*2\r\n$4\r\nname\r\n$12\r\nconfig-epoch\r\n"), None);
        assert_eq!(epoch(b"-NOPERM no\r\n"), None);
    }

    /// Sentinels that name these ports, of these configurations; with port 0, one that is not there; with none, one of
    /// which nothing is known.
    fn choice(sentinels: &[Option<(u16, Option<u64>)>], known: Option<u64>) -> Choice {
        let peers: Vec<Peer> = sentinels
            .iter()
            .map(|sentinel| {
                let mut peer = Peer::new(tcp("s", 1), Duration::from_secs(1));
                match sentinel {
                    None => {}
                    Some((0, _)) => peer.trouble = Some("gone".to_owned()),
                    Some((port, epoch)) => {
                        peer.answer = Some(Answer {
                            address: tcp("m", *port),
                            epoch: *epoch,
                        });
                    }
                }
                peer
            })
            .collect();
        choose(&peers.iter().collect::<Vec<_>>(), known)
    }

    const GONE: Option<(u16, Option<u64>)> = Some((0, None));

    fn says(port: u16, epoch: u64) -> Option<(u16, Option<u64>)> {
        Some((port, Some(epoch)))
    }

    #[test]
    fn the_latest_configuration_counts_whoever_knows_it() {
        assert_eq!(
            choice(&[says(1, 4), says(2, 5), says(1, 4)], None),
            Choice::Of(1)
        );
        assert_eq!(
            choice(&[says(1, 4), says(2, 5), says(1, 4)], Some(4)),
            Choice::Of(1)
        );
        assert_eq!(
            choice(&[says(1, 0), says(2, 0), says(2, 0)], None),
            Choice::Of(1)
        );
        assert_eq!(choice(&[GONE, GONE, says(1, 3)], Some(3)), Choice::Of(2));
    }

    #[test]
    fn nobody_is_believed_before_most_have_answered_or_all_had_their_chance() {
        assert_eq!(choice(&[None, None, says(1, 3)], None), Choice::Open);
        assert_eq!(choice(&[None, says(1, 3), says(1, 3)], None), Choice::Of(1));
        assert_eq!(choice(&[None, GONE, says(1, 3)], None), Choice::Open);
        assert_eq!(choice(&[GONE, GONE, says(1, 3)], None), Choice::Of(2));
        assert_eq!(choice(&[GONE, GONE], None), Choice::None);
        assert_eq!(choice(&[None], None), Choice::Open);
    }

    #[test]
    fn an_older_configuration_is_not_gone_back_to_unless_most_say_so() {
        assert_eq!(choice(&[says(1, 4), GONE, GONE], Some(5)), Choice::None);
        assert_eq!(
            choice(&[says(1, 0), says(1, 0), GONE], Some(5)),
            Choice::Of(0)
        );
        assert_eq!(choice(&[says(1, 0)], Some(5)), Choice::Of(0));
    }

    #[test]
    fn where_no_configuration_is_shown_most_decide() {
        let says = |port| Some((port, None));
        assert_eq!(choice(&[says(1), says(2), says(2)], None), Choice::Of(1));
        assert_eq!(choice(&[says(1), says(2)], Some(3)), Choice::Of(0));
    }
}
