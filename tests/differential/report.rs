//! What is printed of a difference: enough to see it, and to try it again.

/// The most requests of the client and steps of all that are printed.
const REQUESTS: usize = 100;
const STEPS: usize = 8;
/// The most bytes of a request, and frames and bytes of replies.
const REQUEST_BYTES: usize = 160;
const FRAMES: usize = 4;
const FRAME_BYTES: usize = 600;

/// The text about a difference in the last step of `history`, a list of who sent what.
pub fn difference(
    seed: u64,
    flags: &[&str],
    history: &[(usize, Vec<Vec<u8>>)],
    client: usize,
    what: &str,
    heard: &[Vec<u8>],
    expected: &[Vec<u8>],
) -> String {
    let mut text = format!(
        "seed {seed}, step {}, client {client}: {what}\n\
         again with FUZZ_SEED={seed}; the flags of the proxy are {flags:?}\n\nits last requests:\n",
        history.len()
    );
    let own: Vec<_> = history
        .iter()
        .filter(|(whose, _)| *whose == client)
        .flat_map(|(_, requests)| requests)
        .collect();
    for request in &own[own.len().saturating_sub(REQUESTS)..] {
        text += &format!("  {}\n", line(request));
    }
    text += "\nthe last steps of all:\n";
    for (whose, requests) in &history[history.len().saturating_sub(STEPS)..] {
        for request in requests {
            text += &format!("  client {whose}: {}\n", line(request));
        }
    }
    let point = point_of_difference(heard.first(), expected.first());
    text += &format!(
        "\nexpected: {}\n     got: {}\n",
        frames(expected, point),
        frames(heard, point)
    );
    text
}

/// Where the first frames begin to differ.
fn point_of_difference(one: Option<&Vec<u8>>, other: Option<&Vec<u8>>) -> usize {
    match (one, other) {
        (Some(one), Some(other)) => one.iter().zip(other).take_while(|(a, b)| a == b).count(),
        _ => 0,
    }
}

fn frames(frames: &[Vec<u8>], point: usize) -> String {
    let skipped = point.saturating_sub(FRAME_BYTES / 2);
    let mut texts: Vec<String> = frames
        .iter()
        .take(FRAMES)
        .enumerate()
        .map(|(index, frame)| {
            let skipped = if index == 0 { skipped } else { 0 };
            let before = if skipped > 0 { "…" } else { "" };
            format!("{before}{}", excerpt(&frame[skipped..], FRAME_BYTES))
        })
        .collect();
    if frames.len() > FRAMES {
        texts.push(format!("and {} more", frames.len() - FRAMES));
    }
    if texts.is_empty() {
        texts.push("nothing".to_owned());
    }
    texts.join("\n          ")
}

/// A request as a line of words, or as it is if it is none.
fn line(request: &[u8]) -> String {
    let parts: Option<Vec<String>> = arguments(request).map(|arguments| {
        arguments
            .iter()
            .map(|argument| format!("\"{}\"", excerpt(argument, REQUEST_BYTES)))
            .collect()
    });
    parts.map_or_else(
        || format!("inline: {}", excerpt(request, REQUEST_BYTES)),
        |parts| parts.join(" "),
    )
}

fn arguments(request: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = request;
    let mut number = |kind: u8| {
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        let text = std::str::from_utf8(rest[..end].strip_prefix(&[kind])?).ok()?;
        let number: usize = text.trim_end().parse().ok()?;
        let bytes = &rest[end + 1..];
        rest = if kind == b'$' {
            bytes.get(number + 2..)?
        } else {
            bytes
        };
        Some((number, bytes))
    };
    let (count, _) = number(b'*')?;
    (0..count)
        .map(|_| number(b'$').map(|(length, bytes)| &bytes[..length]))
        .collect()
}

fn excerpt(bytes: &[u8], most: usize) -> String {
    let text = bytes[..bytes.len().min(most)].escape_ascii().to_string();
    match bytes.len().checked_sub(most) {
        Some(more @ 1..) => format!("{text}… and {more} bytes"),
        _ => text,
    }
}
