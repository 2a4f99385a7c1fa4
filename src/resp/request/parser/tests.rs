//! Streams of requests, complete and in all kinds of pieces.

mod limits;
mod random;

use std::fmt;

use super::*;
use crate::resp::reply;

/// An item in a stream of requests.
#[derive(Clone, PartialEq, Eq)]
enum Item {
    Request(Vec<Vec<u8>>),
    Nothing,
    Error(ProtocolError),
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(arguments) => {
                write!(f, "Request(")?;
                for argument in arguments.iter().take(10) {
                    let start = &argument[..argument.len().min(60)];
                    write!(f, "{}:\"{}\" ", argument.len(), start.escape_ascii())?;
                }
                write!(f, "{} arguments)", arguments.len())
            }
            Self::Nothing => write!(f, "Nothing"),
            Self::Error(error) => write!(f, "{error}"),
        }
    }
}

/// A stream that arrives in pieces, parsed as the proxy does.
#[derive(Default)]
struct Reader {
    parser: Parser,
    buffer: Vec<u8>,
    /// The bytes of the stream that have arrived, and those that are consumed.
    arrived: usize,
    used: usize,
    items: Vec<Item>,
    failed: bool,
}

impl Reader {
    fn feed(&mut self, bytes: &[u8]) {
        self.arrived += bytes.len();
        if self.failed {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        let mut used = 0;
        while used < self.buffer.len() {
            let (item, length) = match self.parser.parse(&self.buffer[used..]) {
                Ok(Parsed::Request { request, used }) => {
                    let arguments: Vec<_> = request.arguments().map(<[u8]>::to_vec).collect();
                    assert_eq!(arguments.len(), request.len());
                    assert_eq!(arguments[0], request.argument(0));
                    let (mut encoded, mut expected) = (Vec::new(), Vec::new());
                    request.encode(&mut encoded);
                    reply::request(&mut expected, request.arguments());
                    assert_eq!(encoded, expected);
                    (Item::Request(arguments), used)
                }
                Ok(Parsed::Nothing { used }) => (Item::Nothing, used),
                Ok(Parsed::Incomplete) => break,
                Err(error) => {
                    self.items.push(Item::Error(error));
                    self.failed = true;
                    break;
                }
            };
            assert!((1..=self.buffer.len() - used).contains(&length), "{length}");
            self.items.push(item);
            used += length;
        }
        self.used += used;
        self.buffer.drain(..used);
    }
}

/// All items in a stream, each with the number of bytes after which it is known: for a request its end, and for an
/// error the first byte that makes it one.
fn byte_by_byte(stream: &[u8]) -> Vec<(Item, usize)> {
    let mut reader = Reader::default();
    let mut found = Vec::new();
    for &byte in stream {
        reader.feed(&[byte]);
        let at = reader.arrived;
        found.extend(reader.items.drain(..).map(|item| (item, at)));
        if !reader.failed && found.last().is_some_and(|(_, end)| *end == at) {
            assert_eq!(reader.used, at, "a request is known with its last byte");
        }
    }
    found
}

/// Checks that each item of a stream is found in the piece that completes it, neither later nor earlier.
#[track_caller]
fn assert_in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, expected: &[(Item, usize)]) {
    let mut reader = Reader::default();
    let mut expected = expected.iter().peekable();
    let mut end = 0;
    for piece in pieces {
        reader.feed(piece);
        let mut found = reader.items.drain(..);
        while let Some((item, at)) = expected.next_if(|(_, at)| *at <= reader.arrived) {
            assert_eq!(found.next().as_ref(), Some(item), "at byte {at}");
            end = if let Item::Error(_) = item { end } else { *at };
        }
        let more: Vec<_> = found.collect();
        assert_eq!(more, [], "within {} bytes", reader.arrived);
        assert_eq!(reader.used, end, "of {} bytes", reader.arrived);
    }
    assert_eq!(expected.next(), None);
}

/// Checks a stream in one piece, byte by byte, and split at every byte.
#[track_caller]
fn assert_at_every_split(stream: &[u8], expected: &[(Item, usize)]) {
    assert_eq!(byte_by_byte(stream), expected, "{}", stream.escape_ascii());
    for split in 0..=stream.len() {
        let (head, tail) = stream.split_at(split);
        assert_in_pieces([head, tail], expected);
    }
}

fn request<A: AsRef<[u8]>>(arguments: &[A]) -> Item {
    Item::Request(arguments.iter().map(|a| a.as_ref().to_vec()).collect())
}

fn multibulk<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        bytes.extend(format!("${}\r\n", argument.len()).bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Arrays of bulk strings, each with the expected item.
fn arrays() -> Vec<(Vec<u8>, Item)> {
    let long = [b'v'; 300];
    let shapes: &[&[&[u8]]] = &[
        &[b"PING"],
        &[b"GET", b"x"],
        &[b"SET", b"key", b"value"],
        &[b""],
        &[b"", b"", b""],
        &[b"GET", b""],
        &[b"GET", b"\r\n"],
        &[b"GET", b"a\r\nb\r\n"],
        &[b"GET", b"\n"],
        &[b"GET", b"\r"],
        &[b"GET", b"\0"],
        &[b"\0\0", b"a\0b\0"],
        &[b"GET", b"\xff\xfe\x80"],
        &[b"GET", b"$3\r\nGET\r\n"],
        &[b"*1\r\n$4\r\nPING\r\n"],
        &[b"'\"", b"\"\\x00"],
        &[b" ", b"\t"],
        &[b"ECHO", &long],
        &[&b"x"[..]; 12],
        &[&b""[..]; 2 * SPANS_KEPT],
    ];
    let lengths = [8, 9, 10, 11, 98, 99, 100, 101, 999, 1000].map(|length| vec![b'k'; length]);
    let whole = |shape: &&[&[u8]]| (multibulk(shape), request(shape));
    let mut all: Vec<_> = shapes.iter().map(whole).collect();
    for argument in &lengths {
        for shape in [&[b"GET", &argument[..]][..], &[argument], &[argument, b"x"]] {
            all.push(whole(&shape));
        }
    }
    // Like Redis, accepts any byte as the line feed, and any two as the line end after an argument.
    all.push((b"*1\rX$4\rYPINGab".to_vec(), request(&["PING"])));
    all.push((
        b"*2\r\n$3\r\nGETab$1\rXkcd".to_vec(),
        request(&["GET", "k"]),
    ));
    all
}

/// Inline requests, each with the expected item.
fn lines() -> Vec<(Vec<u8>, Item)> {
    let lines: &[(&[u8], &[&[u8]])] = &[
        (b"PING\r\n", &[b"PING"]),
        (b"PING\n", &[b"PING"]),
        (b"GET x\r\n", &[b"GET", b"x"]),
        (b"  GET   x  \r\n", &[b"GET", b"x"]),
        (b"\x0b\tGET \x0cx\x0cy\x0b\t\n", &[b"GET", b"x\x0cy\x0b"]),
        (b"GET\rx\r\r\n", &[b"GET", b"x"]),
        (b"$3 \xff\x80\r\n", &[b"$3", b"\xff\x80"]),
        (b" *1\r\n", &[b"*1"]),
        (b"GET a\\nb\n", &[b"GET", b"a\\nb"]),
        (b"SET \"a b\" 'c d'\r\n", &[b"SET", b"a b", b"c d"]),
        (b"GET \"\"\r\n", &[b"GET", b""]),
        (b"GET ''\r\n", &[b"GET", b""]),
        (b"'' \"\"\n", &[b"", b""]),
        (b"\"GET\"\t'x'\n", &[b"GET", b"x"]),
        (b"GET a\"b c\" d'e f'\n", &[b"GET", b"ab c", b"de f"]),
        (b"GET \"it's\" 'a \"b\"'\n", &[b"GET", b"it's", b"a \"b\""]),
        (b"GET \"\\n\\r\\t\\b\\a\"\n", &[b"GET", b"\n\r\t\x08\x07"]),
        (b"GET \"\\\\\\\"\\q\\'\"\n", &[b"GET", b"\\\"q'"]),
        (
            b"GET \"\\x00\\xfF\\x0a\\x9A\"\n",
            &[b"GET", b"\0\xff\n\x9a"],
        ),
        (b"GET \"\\xg1\\x1\\x\"\n", &[b"GET", b"xg1x1x"]),
        (b"GET \"\\x4\\\"1\"\n", &[b"GET", b"x4\"1"]),
        (b"GET '\\'\\n\\\\x'\n", &[b"GET", b"'\\n\\\\x"]),
    ];
    lines
        .iter()
        .map(|(line, arguments)| (line.to_vec(), request(arguments)))
        .collect()
}

/// Bytes that Redis skips without a reply.
const NOTHING: [&[u8]; 8] = [
    b"\r\n",
    b"\n",
    b"  \t \r\n",
    b"\r\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*-2147483648\r\n",
    b"*-9223372036854775808\r\n",
];

fn good() -> Vec<(Vec<u8>, Item)> {
    let nothing = NOTHING.map(|bytes| (bytes.to_vec(), Item::Nothing));
    [arrays(), lines(), nothing.to_vec()].concat()
}

/// Invalid requests: their bytes up to the one that makes them invalid, and what follows.
fn bad() -> Vec<(Vec<u8>, &'static [u8], ProtocolError)> {
    use ProtocolError::*;
    let counts = [
        "",
        "x",
        "1x",
        "-",
        "-0",
        "+1",
        " 1",
        "1 ",
        "01",
        "2147483648",
        "9223372036854775808",
        "-9223372036854775809",
    ];
    let lengths = [
        "",
        "x",
        "3x",
        "-",
        "-1",
        "+3",
        " 3",
        "03",
        "536870913",
        "9223372036854775807",
        "99999999999999999999",
    ];
    let counts = counts.map(|count| (format!("*{count}\r\n"), InvalidMultibulkLength));
    let lengths = lengths.map(|length| (format!("*2\r\n${length}\r\n"), InvalidBulkLength));
    let second = ("*2\r\n$3\r\nGET\r\n$-1\r\n".to_owned(), InvalidBulkLength);
    let quotes = [
        "\"",
        "'",
        "GET \"x",
        "GET 'x",
        "GET \"x\"y",
        "GET 'x'y",
        "GET ''''",
        "GET \"\"'",
        "\"\\",
        "\"\\\"",
        "'\\",
        "'\\'",
        "\"\\x4",
    ];
    let quotes = quotes.map(|line| (format!("{line}\r\n"), UnbalancedQuotes));
    let mut all: Vec<_> = (counts
        .into_iter()
        .chain(lengths)
        .chain([second])
        .chain(quotes))
    .map(|(start, error)| (start.into_bytes(), &b"$4\r\nPING\r\n"[..], error))
    .collect();
    for byte in [b'4', b'*', b' ', b'\n', b'\r', 0x80, 0xff] {
        let mut first = b"*1\r\n".to_vec();
        let mut second = b"*2\r\n$3\r\nGET\r\n".to_vec();
        for start in [&mut first, &mut second] {
            start.push(byte);
            start.extend_from_slice(if byte == b'\r' { b"\n" } else { b"3\r\n" });
            all.push((start.clone(), b"abc\r\n", ExpectedDollar(byte)));
        }
    }
    all
}

#[test]
fn every_request_split_at_every_byte_is_the_same_request() {
    for (bytes, item) in good() {
        let end = bytes.len();
        assert_at_every_split(&bytes, &[(item, end)]);
    }
}

#[test]
fn every_request_leaves_the_one_behind_it_alone() {
    let ping = multibulk(&["PING"]);
    for (bytes, item) in good() {
        let stream = [&ping[..], &bytes, &ping].concat();
        let (start, end) = (ping.len(), ping.len() + bytes.len());
        let expected = [
            (request(&["PING"]), start),
            (item, end),
            (request(&["PING"]), stream.len()),
        ];
        assert_at_every_split(&stream, &expected);
    }
}

#[test]
fn every_error_shows_at_the_same_byte_whatever_the_splitting() {
    for (start, rest, error) in bad() {
        let expected = [
            (request(&["PING"]), 6),
            (Item::Error(error), 6 + start.len()),
        ];
        assert_at_every_split(&[b"PING\r\n", &start[..], rest].concat(), &expected);
    }
}

#[test]
fn what_goes_on_beyond_the_buffer_is_incomplete() {
    for (bytes, _) in good() {
        for end in 0..bytes.len() {
            let mut parser = Parser::new();
            let parsed = parser.parse(&bytes[..end]);
            assert!(matches!(parsed, Ok(Parsed::Incomplete)), "{parsed:?}");
        }
    }
}

#[test]
fn an_error_reads_as_redis_words_it() {
    use ProtocolError::*;
    for (error, message) in [
        (
            InvalidMultibulkLength,
            &b"Protocol error: invalid multibulk length"[..],
        ),
        (InvalidBulkLength, b"Protocol error: invalid bulk length"),
        (
            ExpectedDollar(b'x'),
            b"Protocol error: expected '$', got 'x'",
        ),
        (
            ExpectedDollar(0xe9),
            b"Protocol error: expected '$', got '\xe9'",
        ),
        (
            ExpectedDollar(b'\r'),
            b"Protocol error: expected '$', got '\r'",
        ),
        (TooBigInline, b"Protocol error: too big inline request"),
        (
            TooBigMultibulkCount,
            b"Protocol error: too big mbulk count string",
        ),
        (
            TooBigBulkCount,
            b"Protocol error: too big bulk count string",
        ),
        (
            UnbalancedQuotes,
            b"Protocol error: unbalanced quotes in request",
        ),
        (
            UnauthenticatedMultibulkLength,
            b"Protocol error: unauthenticated multibulk length",
        ),
        (
            UnauthenticatedBulkLength,
            b"Protocol error: unauthenticated bulk length",
        ),
    ] {
        assert_eq!(error.message(), message);
    }
    assert_eq!(
        ExpectedDollar(0xe9).to_string(),
        "Protocol error: expected '$', got '\\xe9'",
        "a log line is text whatever a client sent"
    );
}

#[test]
fn a_request_shows_its_arguments_as_text() {
    let mut parser = Parser::new();
    let Ok(Parsed::Request { request, .. }) = parser.parse(b"GET \"\\xff\"\n") else {
        panic!("a request");
    };
    assert_eq!(format!("{request:?}"), r#"["GET", "\\xff"]"#);
}
