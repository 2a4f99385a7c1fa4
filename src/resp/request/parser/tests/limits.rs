//! How large a request may be, and how much the parser holds.

use super::*;

/// Checks that a line of [`MAX_INLINE`] bytes after `before` is waited for and one byte more is `error`, in one piece,
/// in several, and whether its end arrives with it or not.
#[track_caller]
fn assert_line_limit(before: &[u8], start: &[u8], error: ProtocolError) {
    let filled = |length: usize| {
        let line = start.iter().copied().chain(std::iter::repeat(b'1'));
        let line = line.take(length);
        before.iter().copied().chain(line).collect::<Vec<u8>>()
    };
    let at = before.len() + MAX_INLINE + 1;
    let fits = filled(MAX_INLINE);
    let exceeds = filled(MAX_INLINE + 1);
    assert_in_pieces([&fits[..]], &[]);
    assert_eq!(byte_by_byte(&fits), []);
    assert_eq!(byte_by_byte(&exceeds), [(Item::Error(error), at)]);
    for rest in [&b""[..], b"\n", b"\r\n", b"111\r\n", b"\r"] {
        let stream = [&exceeds, rest].concat();
        assert_in_pieces([&stream[..]], &[(Item::Error(error), at)]);
        assert_in_pieces([&fits[..], &stream[at - 1..]], &[(Item::Error(error), at)]);
        let (head, tail) = stream.split_at(at / 2);
        assert_in_pieces([head, tail], &[(Item::Error(error), at)]);
    }
}

#[test]
fn an_inline_request_may_have_64_kb_and_not_a_byte_more() {
    assert_line_limit(b"", b"ECHO ", ProtocolError::TooBigInline);
    let argument = vec![b'x'; MAX_INLINE - 5];
    for end in ["\n", "\r\n"] {
        let argument = &argument[..argument.len() + 1 - end.len()];
        let stream = [b"ECHO ", argument, end.as_bytes()].concat();
        let expected = [(request(&[b"ECHO", argument]), MAX_INLINE + 1)];
        assert_eq!(byte_by_byte(&stream), expected);
        assert_in_pieces([&stream[..]], &expected);
    }
}

#[test]
fn a_header_line_may_have_64_kb_and_not_a_byte_more() {
    let lengths: &[u8] = b"*2\r\n$3\r\nGET\r\n";
    for (before, start, too_big, invalid) in [
        (
            &b""[..],
            b"*",
            ProtocolError::TooBigMultibulkCount,
            ProtocolError::InvalidMultibulkLength,
        ),
        (
            lengths,
            b"$",
            ProtocolError::TooBigBulkCount,
            ProtocolError::InvalidBulkLength,
        ),
    ] {
        assert_line_limit(before, start, too_big);
        let line = [before, start, &[b'1'; MAX_INLINE - 1], b"\r\n"].concat();
        let expected = [(Item::Error(invalid), line.len())];
        assert_eq!(byte_by_byte(&line), expected);
        assert_in_pieces([&line[..]], &expected);
    }
}

#[test]
fn a_line_with_a_nul_has_no_end() {
    for (before, start, error) in [
        (&b""[..], &b"PING\0"[..], ProtocolError::TooBigInline),
        (b"", b"\0", ProtocolError::TooBigInline),
        (b"", b"*1\0", ProtocolError::TooBigMultibulkCount),
        (b"*1\r\n", b"$4\0", ProtocolError::TooBigBulkCount),
        (b"*1\r\n", b"\0", ProtocolError::TooBigBulkCount),
    ] {
        let mut stream = [before, start].concat();
        stream.extend_from_slice(&b"\r\nPING\r\n"[..].repeat(MAX_INLINE / 8));
        let at = before.len() + MAX_INLINE + 1;
        assert_eq!(byte_by_byte(&stream), [(Item::Error(error), at)]);
        assert_in_pieces([&stream[..]], &[(Item::Error(error), at)]);
        assert_in_pieces([&stream[..at - 1], b"\n"], &[(Item::Error(error), at)]);
    }
}

#[test]
fn a_request_may_have_as_many_arguments_as_redis_allows() {
    let announced = format!("*{MAX_ARGUMENTS}\r\n");
    let parsed = Parser::new().parse(announced.as_bytes()).map(|_| ());
    assert_eq!(parsed, Ok(()));
    let one_more = format!("*{}\r\n", MAX_ARGUMENTS + 1);
    let error = Parser::new().parse(one_more.as_bytes()).unwrap_err();
    assert_eq!(error, ProtocolError::InvalidMultibulkLength);
}

#[test]
fn the_room_of_many_arguments_is_given_back() {
    const MANY: usize = 2_000_000;
    let mut stream = format!("*{MANY}\r\n").into_bytes();
    stream.extend_from_slice(&b"$0\r\n\r\n".repeat(MANY));
    let mut parser = Parser::new();
    let Ok(Parsed::Request { request, used }) = parser.parse(&stream) else {
        panic!("a request");
    };
    assert_eq!((request.len(), used), (MANY, stream.len()));
    assert!(request.arguments().all(<[u8]>::is_empty));
    parser.parse(b"").unwrap();
    assert!(parser.spans.capacity() <= SPANS_KEPT);
}

#[test]
fn an_argument_may_be_as_long_as_redis_allows() {
    let longest = format!("*1\r\n${MAX_BULK}\r\n");
    let parsed = Parser::new().parse(longest.as_bytes()).map(|_| ());
    assert_eq!(parsed, Ok(()));
    let one_more = format!("*1\r\n${}\r\n", MAX_BULK + 1);
    let error = Parser::new().parse(one_more.as_bytes()).unwrap_err();
    assert_eq!(error, ProtocolError::InvalidBulkLength);
}

#[test]
fn a_request_may_have_a_gigabyte_and_not_a_byte_more() {
    let first = format!("*2\r\n${MAX_BULK}\r\n").into_bytes();
    let second = |length: usize| format!("\r\n${length}\r\n").into_bytes();
    let (start, end) = (first.len(), first.len() + MAX_BULK);
    let parsed = end + second(MAX_BULK).len();
    // The system allocates no memory for untouched zeros.
    let mut buffer = vec![0; parsed];
    buffer[..start].copy_from_slice(&first);
    for (length, expected) in [
        (MAX_REQUEST - parsed, Ok(())),
        (MAX_REQUEST - parsed + 1, Err(ProtocolError::TooBigRequest)),
    ] {
        buffer[end..].copy_from_slice(&second(length));
        assert_eq!(Parser::new().parse(&buffer).map(|_| ()), expected);
    }
}

#[test]
fn a_client_that_is_not_authenticated_may_send_little() {
    for (allowed, start, error) in [
        (
            MAX_UNAUTHENTICATED_ARGUMENTS,
            "*",
            ProtocolError::UnauthenticatedMultibulkLength,
        ),
        (
            MAX_UNAUTHENTICATED_BULK,
            "*1\r\n$",
            ProtocolError::UnauthenticatedBulkLength,
        ),
    ] {
        let mut parser = Parser::new();
        let mut parse = |restricted, length: usize| {
            parser.restrict(restricted);
            let header = format!("{start}{length}\r\n");
            let parsed = parser.parse(header.as_bytes()).map(|_| ());
            parser = Parser::new();
            parsed
        };
        assert_eq!(parse(true, allowed), Ok(()));
        assert_eq!(parse(true, allowed + 1), Err(error));
        assert_eq!(parse(false, allowed + 1), Ok(()));
    }
}

#[test]
fn an_announced_request_holds_nothing_before_it_is_sent() {
    for announced in [
        format!("*{MAX_ARGUMENTS}\r\n"),
        format!("*{MAX_ARGUMENTS}\r\n${MAX_BULK}\r\n"),
        format!("*1\r\n${MAX_BULK}\r\nthe start"),
    ] {
        let mut parser = Parser::new();
        let parsed = parser.parse(announced.as_bytes());
        assert!(matches!(parsed, Ok(Parsed::Incomplete)), "{parsed:?}");
        assert!(parser.spans.capacity() <= SPANS_KEPT);
        assert_eq!(parser.unquoted.capacity(), 0);
    }
}

#[test]
fn a_long_inline_request_leaves_no_room_taken() {
    let line = [b"ECHO ", &[b'x'; 60_000][..], b"\n"].concat();
    let mut parser = Parser::new();
    assert!(matches!(parser.parse(&line), Ok(Parsed::Request { .. })));
    assert!(matches!(parser.parse(b""), Ok(Parsed::Incomplete)));
    assert_eq!(parser.unquoted.capacity(), 0);
}

#[test]
fn a_megabyte_that_comes_byte_by_byte_is_looked_at_once() {
    let argument = vec![b'v'; 1024 * 1024];
    let stream = multibulk(&[&b"ECHO"[..], &argument]);
    let expected = [(request(&[&b"ECHO"[..], &argument]), stream.len())];
    assert_eq!(byte_by_byte(&stream), expected);
}

#[test]
fn a_line_that_comes_byte_by_byte_is_looked_at_once() {
    for line in [[b'x'; MAX_INLINE], [b'*'; MAX_INLINE]] {
        let mut parser = Parser::new();
        for end in 1..=line.len() {
            assert!(matches!(parser.parse(&line[..end]), Ok(Parsed::Incomplete)));
            assert_eq!(parser.searched, end);
        }
    }
}

#[test]
fn a_parser_that_rests_between_two_requests_holds_no_memory() {
    let wide = multibulk(&vec!["x"; 2 * SPANS_KEPT]);
    let get = multibulk(&["GET", "x"]);
    for request in [&wide[..], &get, b"GET x\r\n", b"  \r\n", b"*0\r\n"] {
        let mut parser = Parser::new();
        assert!(!matches!(parser.parse(request), Ok(Parsed::Incomplete)));
        parser.rest(&mut Spans::default());
        assert_eq!(
            (parser.spans.capacity(), parser.unquoted.capacity()),
            (0, 0)
        );
    }
    let mut parser = Parser::new();
    parser.parse(&wide[..wide.len() - 1]).unwrap();
    parser.rest(&mut Spans::default());
    match parser.parse(&wide) {
        Ok(Parsed::Request { request, .. }) => assert_eq!(request.len(), 2 * SPANS_KEPT),
        other => panic!("{other:?}"),
    }
}
