//! The digests by which Redis names scripts: SHA-1 (FIPS 180-4) of their text.

/// A digest.
pub(super) type Digest = [u8; 20];

/// The digest of a script.
pub(super) fn digest(text: &[u8]) -> Digest {
    let mut state = [
        0x6745_2301,
        0xEFCD_AB89,
        0x98BA_DCFE,
        0x1032_5476,
        0xC3D2_E1F0_u32,
    ];
    let (blocks, rest) = text.as_chunks::<64>();
    blocks.iter().for_each(|block| mix(&mut state, block));
    // The rest of the text, a 1 bit, and the length in bits fill one or two blocks.
    let mut last = [0; 128];
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x80;
    let end = if rest.len() + 9 <= 64 { 64 } else { 128 };
    last[end - 8..end].copy_from_slice(&(text.len() as u64 * 8).to_be_bytes());
    let (blocks, _) = last[..end].as_chunks::<64>();
    blocks.iter().for_each(|block| mix(&mut state, block));
    let mut digest = [0; 20];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// Reads a digest from hexadecimal digits.
pub(super) fn read(hexadecimal: &[u8]) -> Option<Digest> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = hexadecimal.as_chunks::<2>();
    let mut digest = [0; 20];
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    Some(digest)
}

fn mix(state: &mut [u32; 5], block: &[u8; 64]) {
    let mut words = [0; 80];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    for at in 16..80 {
        let mixed = words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16];
        words[at] = mixed.rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for (round, word) in words.iter().enumerate() {
        let (chosen, constant) = match round {
            0..20 => (b & c | !b & d, 0x5A82_7999),
            20..40 => (b ^ c ^ d, 0x6ED9_EBA1),
            40..60 => (b & c | b & d | c & d, 0x8F1B_BCDC),
            _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
        };
        let next = a
            .rotate_left(5)
            .wrapping_add(chosen)
            .wrapping_add(e)
            .wrapping_add(constant)
            .wrapping_add(*word);
        (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
    }
    for (sum, word) in state.iter_mut().zip([a, b, c, d, e]) {
        *sum = sum.wrapping_add(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_as_the_standard_says() {
        for (text, expected) in [
            (
                String::new(),
                &b"da39a3ee5e6b4b0d3255bfef95601890afd80709"[..],
            ),
            ("abc".into(), b"A9993E364706816ABA3E25717850C26C9CD0D89D"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".into(),
                b"84983e441c3bd26ebaae4aa1f95129e5e54670f1",
            ),
            (
                "a".repeat(1_000_000),
                b"34aa973cd4c4daa4f61eeb2bdbad27316534016f",
            ),
        ] {
            assert_eq!(read(expected), Some(digest(text.as_bytes())));
        }
    }

    #[test]
    fn only_forty_digits_are_a_name() {
        assert_eq!(read(b""), None);
        assert_eq!(read(b"da39a3ee5e6b4b0d3255bfef95601890afd8070"), None);
        assert_eq!(read(b"da39a3ee5e6b4b0d3255bfef95601890afd8070g"), None);
        assert_eq!(read(b"da39a3ee5e6b4b0d3255bfef95601890afd8070900"), None);
    }
}
