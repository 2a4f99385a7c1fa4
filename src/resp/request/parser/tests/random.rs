//! Random requests, and random bytes, in random pieces, reproducible by seed.

use fastrand::Rng;

use super::super::super::inline::is_space;
use super::*;
use crate::resp::request::whole_get;

/// Cuts a stream at random.
fn random_pieces<'a>(rng: &mut Rng, mut stream: &'a [u8]) -> Vec<&'a [u8]> {
    let largest = *rng.choice(&[2, 5, 40, 1000]).unwrap_or(&1);
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at(rng.usize(1..=stream.len().min(largest)));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

/// Runs a random test with each of `count` seeds; names the one that failed.
fn for_seeds(count: u64, test: impl Fn(&mut Rng)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with seed {}", self.0);
            }
        }
    }
    for seed in 0..count {
        let named = Named(seed);
        test(&mut Rng::with_seed(named.0));
    }
}

/// An argument of any bytes, where those with a meaning in the protocol are more likely.
fn random_argument(rng: &mut Rng, longest: usize) -> Vec<u8> {
    let longest = *rng.choice(&[0, 1, 5, longest]).unwrap_or(&0);
    let byte = |rng: &mut Rng| match rng.u8(..4) {
        0 => *rng.choice(b"\r\n\0 \t*$\"'\\x-0123456789").unwrap_or(&0),
        1 => rng.u8(..),
        _ => rng.u8(b'a'..=b'z'),
    };
    (0..rng.usize(..=longest)).map(|_| byte(rng)).collect()
}

/// One of the ways to write an argument in an inline request.
fn random_quoting(rng: &mut Rng, argument: &[u8]) -> Vec<u8> {
    let plain = |&byte: &u8| !is_space(byte) && !matches!(byte, 0 | b'"' | b'\'');
    let single = |&byte: &u8| !matches!(byte, 0 | b'\n' | b'\'' | b'\\' | b'\r');
    match rng.u8(..3) {
        0 if !argument.is_empty() && argument[0] != b'*' && argument.iter().all(plain) => {
            return argument.to_vec();
        }
        1 if argument.iter().all(single) => return [b"'", argument, b"'"].concat(),
        _ => {}
    }
    let mut quoted = vec![b'"'];
    for &byte in argument {
        match byte {
            b'\n' if rng.bool() => quoted.extend_from_slice(b"\\n"),
            b'\r' if rng.bool() => quoted.extend_from_slice(b"\\r"),
            b'\t' if rng.bool() => quoted.extend_from_slice(b"\\t"),
            0x07 if rng.bool() => quoted.extend_from_slice(b"\\a"),
            0x08 if rng.bool() => quoted.extend_from_slice(b"\\b"),
            b'"' | b'\\' if rng.bool() => quoted.extend_from_slice(&[b'\\', byte]),
            0 | b'\n' | b'"' | b'\\' => quoted.extend(format!("\\x{byte:02x}").bytes()),
            _ if rng.u8(..8) == 0 => quoted.extend(format!("\\x{byte:02X}").bytes()),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'"');
    quoted
}

/// Writes a random request, of arguments up to `longest`, to `stream`; returns the expected item.
fn random_request(rng: &mut Rng, longest: usize, stream: &mut Vec<u8>) -> Item {
    if rng.u8(..10) == 0 {
        stream.extend_from_slice(NOTHING[rng.usize(..NOTHING.len())]);
        return Item::Nothing;
    }
    let arguments: Vec<_> = (0..rng.usize(1..=5))
        .map(|_| random_argument(rng, longest))
        .collect();
    if rng.bool() {
        stream.extend(multibulk(&arguments));
    } else {
        let quoted: Vec<_> = arguments.iter().map(|a| random_quoting(rng, a)).collect();
        stream.extend_from_slice(rng.choice([&b""[..], b"", b" "]).unwrap_or(b""));
        stream.extend(quoted.join(&rng.choice(*b" \t\r").unwrap_or(b' ')));
        stream.extend_from_slice(rng.choice([&b"\r\n"[..], b"\n", b" \r\n"]).unwrap_or(b""));
    }
    request(&arguments)
}

#[test]
fn a_random_pipeline_in_random_pieces_is_what_was_sent() {
    for_seeds(2000, |rng| {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..rng.usize(1..=20) {
            let item = random_request(rng, 200, &mut stream);
            expected.push((item, stream.len()));
        }
        assert_in_pieces([&stream[..]], &expected);
        assert_in_pieces(random_pieces(rng, &stream), &expected);
        assert_in_pieces(random_pieces(rng, &stream), &expected);
    });
}

/// Changes, removes and inserts some bytes of a stream.
fn mutate(rng: &mut Rng, stream: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..=3) {
        let at = rng.usize(..=stream.len());
        match rng.u8(..5) {
            0 => stream.truncate(at.max(1)),
            1 => stream.insert(at, *rng.choice(b"\r\n*$\"'\\ -0123456789x\0").unwrap_or(&0)),
            2 => stream.insert(at, rng.u8(..)),
            3 if at < stream.len() => {
                stream.remove(at);
            }
            _ if at < stream.len() => stream[at] = rng.u8(..),
            _ => {}
        }
    }
}

#[test]
fn any_bytes_are_read_the_same_in_any_pieces() {
    for_seeds(100_000, |rng| {
        let mut stream = Vec::new();
        for _ in 0..rng.usize(1..=2) {
            random_request(rng, 10, &mut stream);
        }
        mutate(rng, &mut stream);
        let expected = byte_by_byte(&stream);
        assert_in_pieces([&stream[..]], &expected);
        assert_in_pieces(random_pieces(rng, &stream), &expected);
    });
}

#[test]
fn a_get_with_any_byte_changed_is_read_the_same_in_any_pieces() {
    for key in ["", "k", "two_words", "ten_bytes_"] {
        let get = [multibulk(&["get", key]), multibulk(&["PING"])].concat();
        for at in 0..get.len() {
            for byte in *b"\r\n*$-0123456789x\xff" {
                let mut stream = get.clone();
                stream[at] = byte;
                assert_in_pieces([&stream[..]], &byte_by_byte(&stream));
            }
        }
    }
}

#[test]
fn a_get_found_by_its_start_is_the_one_that_a_parser_finds() {
    let mut found = 0;
    for length in [0, 1, 9, 10, 35, 99, 100] {
        let key = "k".repeat(length);
        for name in ["GET", "get", "Get", "SET"] {
            let get = [multibulk(&[name, &key]), b"*1\r\n".into()].concat();
            for at in 0..get.len() {
                for byte in [
                    get[at], b'\r', b'\n', b'*', b'$', b'0', b'1', b'9', b'g', 0xff,
                ] {
                    let mut stream = get.clone();
                    stream[at] = byte;
                    let Some((key, used)) = whole_get(&stream) else {
                        continue;
                    };
                    found += 1;
                    match Parser::new().parse(&stream) {
                        Ok(Parsed::Request {
                            request,
                            used: parsed,
                        }) => {
                            assert!(request.argument(0).eq_ignore_ascii_case(b"get"));
                            assert_eq!((request.len(), request.argument(1)), (2, key));
                            assert_eq!(parsed, used);
                        }
                        other => panic!("{other:?}"),
                    }
                    assert_eq!(whole_get(&stream[..used - 1]), None, "it is not whole");
                }
            }
        }
    }
    assert!(found > 1000, "{found} were found");
}

#[test]
fn bytes_of_the_protocol_in_any_order_are_read_the_same_in_any_pieces() {
    for_seeds(100_000, |rng| {
        let words: [&[u8]; 12] = [
            b"*", b"$", b"\r\n", b"\r", b"\n", b"-", b"0", b"1", b"2", b"x", b"\"", b"'",
        ];
        let mut stream = Vec::new();
        for _ in 0..rng.usize(..=16) {
            stream.extend_from_slice(words[rng.usize(..words.len())]);
        }
        let expected = byte_by_byte(&stream);
        assert_in_pieces([&stream[..]], &expected);
    });
}
