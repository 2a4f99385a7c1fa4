//! What reads Redis's replies: the scanner, the link of a shared connection, and the reader of `COMMAND`.

use redis_proxy::clock::Time;
use redis_proxy::command::read_specs;
use redis_proxy::link::{Batch, Link, LinkError, Received};
use redis_proxy::resp::read::Reader;
use redis_proxy::resp::scan::{NotAReply, Scanner};
use redis_proxy::transport::Source;

use crate::mutate::Corpus;
use crate::{INPUTS, Taking, fuzz, pieces};

/// The descriptions of three commands, one with subcommands.
const COMMANDS: &[u8] = b"*3\r\n\
    *10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*1\r\n+@read\r\n*0\r\n*0\r\n*0\r\n\
    *6\r\n$5\r\nblpop\r\n:-3\r\n*3\r\n+write\r\n+noscript\r\n+blocking\r\n:1\r\n:-2\r\n:1\r\n\
    *10\r\n$6\r\nclient\r\n:-2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*1\r\n+@slow\r\n*0\r\n*1\r\n*6\r\n+flags\r\n*1\r\n+RW\r\n\
    +begin_search\r\n*2\r\n+type\r\n+index\r\n+x\r\n*0\r\n*1\r\n\
    *10\r\n$11\r\nclient|info\r\n:2\r\n~1\r\n+noscript\r\n:0\r\n:0\r\n:0\r\n~0\r\n*0\r\n*0\r\n*0\r\n";

pub fn corpus() -> Corpus {
    Corpus::new(
        &[
            b"+OK\r\n",
            b"-ERR no\r\n",
            b"-NOPERM no\r\n",
            b":-12\r\n",
            b"$3\r\nabc\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*3\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n+x\r\n",
            b"_\r\n",
            b"#t\r\n",
            b",1.5e3\r\n",
            b"(123456789012345678901234567890\r\n",
            b"=7\r\ntxt:abc\r\n",
            b"!5\r\nERR x\r\n",
            b"%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n$1\r\nx\r\n",
            b"|1\r\n+ttl\r\n:3\r\n*1\r\n+x\r\n",
            b"+QUEUED\r\n",
            b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\nk\r\n$1\r\nl\r\n",
            b">2\r\n$10\r\ninvalidate\r\n_\r\n",
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
            b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n",
            b">3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n",
            b"+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n",
            b"$24\r\n# Server\r\nrun_id:abcdef0\r\n",
            b"%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$2\r\nid\r\n:7\r\n$4\r\nrole\r\n$6\r\nmaster\r\n",
            COMMANDS,
        ],
        &[
            b"\r\n", b"\n", b"\r", b"\0", b"*1\r\n", b"$1\r\n", b"$-1\r\n", b"_\r\n", b"%1\r\n", b">1\r\n", b"|1\r\n",
            b"+", b"-", b":", b"(", b"~2\r\n", b"=4\r\ntxt:\r\n", b"invalidate", b"client|info", b"write",
        ],
    )
}

/// The type and the end of each reply of a stream that comes in these pieces.
fn scan(pieces: &[&[u8]]) -> Result<Vec<(u8, usize)>, NotAReply> {
    let mut scanner = Scanner::new();
    let (mut found, mut before) = (Vec::new(), 0);
    for piece in pieces {
        let mut at = 0;
        while let Some((kind, length)) = scanner.feed(&piece[at..])? {
            assert!(length > 0);
            at += length;
            found.push((kind, before + at));
        }
        before += piece.len();
    }
    Ok(found)
}

#[test]
fn ends_of_replies() {
    fuzz("ends of replies", INPUTS, &corpus(), |input, random| {
        let whole = scan(&[input]);
        assert_eq!(scan(&pieces(random, input)), whole);
        let mut at = 0;
        for (kind, end) in whole.unwrap_or_default() {
            assert_eq!(kind, input[at]);
            at = end;
        }
    });
}

/// What comes out of a link with requests in flight.
#[derive(Debug, PartialEq)]
struct Outcome {
    replies: Vec<Vec<u8>>,
    answers: Vec<(usize, Vec<u8>)>,
    keys: Vec<Box<[u8]>>,
    error: Option<LinkError>,
}

fn receive(pieces: &[&[u8]], asked: &[bool]) -> Outcome {
    let mut link = Link::default();
    link.set_ready(b"-late\r\n", &mut redis_proxy::link::Replies::default());
    let now = Time::default();
    for (number, is_question) in asked.iter().enumerate() {
        if *is_question {
            link.ask(number, b"?", now);
        } else {
            let mut batch = Batch::default();
            batch.push(true, |out| out.push(b'!'));
            link.send(&mut batch, now);
        }
    }
    while !link.is_empty() {
        Source::send(&mut link, &mut Taking).expect("it takes everything");
    }
    let mut outcome = Outcome {
        replies: Vec::new(),
        answers: Vec::new(),
        keys: Vec::new(),
        error: None,
    };
    for piece in pieces {
        let mut received = Received::default();
        let result = link.receive(piece, &mut received, now);
        outcome
            .replies
            .extend(received.replies.iter().map(<[u8]>::to_vec));
        outcome.answers.extend(received.answers);
        outcome.keys.extend(received.invalidated.keys);
        if let Err(error) = result {
            outcome.error = Some(error);
            break;
        }
    }
    let most = asked.len();
    assert!(outcome.replies.len() + outcome.answers.len() <= most);
    // Whatever came, each request has a reply in the end.
    let mut rest = redis_proxy::link::Replies::default();
    link.renew(b"-broken\r\n", &mut rest);
    link.fail(b"-failed\r\n", &mut rest);
    let requests = asked.iter().filter(|is_question| !**is_question).count();
    assert_eq!(outcome.replies.len() + rest.len(), requests);
    outcome
}

#[test]
fn replies_on_a_link() {
    fuzz("replies on a link", INPUTS, &corpus(), |input, random| {
        let asked: Vec<bool> = (0..random.usize(..6)).map(|_| random.bool()).collect();
        let whole = receive(&[input], &asked);
        let parts = receive(&pieces(random, input), &asked);
        match (&parts.error, &whole.error) {
            (None, None) => assert_eq!(parts, whole),
            // In pieces, it may show earlier. What was right before it is the same.
            (Some(_), Some(_)) => {
                let both = parts.replies.iter().zip(&whole.replies);
                assert!(both.into_iter().all(|(part, whole)| part == whole));
            }
            (parts, whole) => panic!("{parts:?} in pieces, {whole:?} at once"),
        }
    });
}

#[test]
fn descriptions_of_commands() {
    let mut corpus = corpus();
    corpus.inputs = vec![
        COMMANDS.to_vec(),
        b"*1\r\n*-1\r\n".to_vec(),
        b"*0\r\n".to_vec(),
    ];
    fuzz(
        "descriptions of commands",
        INPUTS,
        &corpus,
        |input, random| {
            for spec in read_specs(input).into_iter().flatten() {
                assert!(!spec.name.is_empty() && spec.name.len() < 256);
            }
            // A reader at any place, asked for anything.
            let mut reader = Reader::new(&input[random.usize(..=input.len())..]);
            for _ in 0..10 {
                match random.u8(..6) {
                    0 => drop(reader.array()),
                    1 => drop(reader.number()),
                    2 => drop(reader.text()),
                    3 => drop(reader.verbatim()),
                    4 => drop(reader.skip(random.usize(..5))),
                    _ => drop(reader.null()),
                }
            }
        },
    );
}
