//! The parser of requests.

use redis_proxy::resp::request::{Parsed, Parser, ProtocolError, Spans, whole_get};

use crate::mutate::Corpus;
use crate::{INPUTS, fuzz, pieces};

pub fn corpus() -> Corpus {
    let long = [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$300\r\n",
        &[b'v'; 300][..],
        b"\r\n",
    ]
    .concat();
    let many = [&b"*130\r\n"[..], &b"$1\r\nx\r\n".repeat(130)].concat();
    Corpus::new(
        &[
            b"PING\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            b"*2\r\n$3\r\nget\r\n$11\r\nlonger than\r\n",
            b"*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$2\r\n\r\n\r\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"\r\n",
            b"  SET  k \"a b\\n\\x41\\\"\" \t\n",
            b"ECHO 'it\\'s' plain\\x41\"\r\n",
            b"*1\r\n$0\r\n\r\n",
            &long,
            &many,
        ],
        &[
            b"\r\n",
            b"\n",
            b"\r",
            b"\0",
            b"*",
            b"$",
            b"*1\r\n",
            b"$1\r\n",
            b"$-1\r\n",
            b"\"",
            b"'",
            b"\\x",
            b" ",
            b"GET",
            b"POST / HTTP/1.1\r\n",
            b"Host: x\r\n",
        ],
    )
}

/// What a parser makes of a stream that comes in these pieces: the arguments of each request, or why it ends.
fn parse(pieces: &[&[u8]], restricted: bool) -> Vec<Result<Vec<Vec<u8>>, ProtocolError>> {
    let mut parser = Parser::new();
    parser.restrict(restricted);
    let stream = pieces.concat();
    let (mut start, mut end) = (0, 0);
    let mut found = Vec::new();
    for piece in pieces {
        end += piece.len();
        loop {
            let buffer = &stream[start..end];
            let used = match parser.parse(buffer) {
                Ok(Parsed::Request { request, used }) => {
                    found.push(Ok(request.arguments().map(<[u8]>::to_vec).collect()));
                    used
                }
                Ok(Parsed::Nothing { used }) => used,
                Ok(Parsed::Incomplete) => break,
                Err(error) => {
                    found.push(Err(error));
                    return found;
                }
            };
            assert!(used > 0 && used <= buffer.len());
            start += used;
        }
        parser.rest(&mut Spans::default());
    }
    found
}

#[test]
fn requests() {
    fuzz("requests", INPUTS, &corpus(), |input, random| {
        let restricted = random.u8(..4) == 0;
        let whole = parse(&[input], restricted);
        let parts = parse(&pieces(random, input), restricted);
        assert_eq!(parts, whole);
        if let Some((key, used)) = whole_get(input) {
            let first = parse(&[&input[..used]], false)
                .remove(0)
                .expect("a request");
            assert_eq!(first[1], key);
        }
    });
}
