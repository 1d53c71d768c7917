//! How the bytes of an input say more than one thing.
//!
//! An input begins with a few bytes that choose among fixed tables. The rest is one stream of bytes with marks in it: what a mark
//! means is the target's business, and a fuzzer may insert, copy and cut between marks without making nonsense of what follows,
//! as it would with lengths.

/// Stands before the byte that says what happens at this place of the stream.
pub const MARK: [u8; 2] = [0xfa, 0xce];

/// Takes the first `N` bytes as choices; those that are missing are zero.
pub(crate) fn choices<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
    let mut chosen = [0; N];
    let (head, rest) = data.split_at(N.min(data.len()));
    chosen[..head.len()].copy_from_slice(head);
    (chosen, rest)
}

/// The stream between the marks, each piece with the byte behind the mark that ends it, if one does.
pub(crate) fn pieces(mut script: &[u8]) -> impl Iterator<Item = (&[u8], Option<u8>)> {
    let mut is_done = false;
    core::iter::from_fn(move || {
        if is_done {
            return None;
        }
        let mark = script.windows(MARK.len() + 1).position(|window| window[..MARK.len()] == MARK);
        let Some(at) = mark else {
            is_done = true;
            return Some((script, None));
        };
        let piece = &script[..at];
        let action = script[at + MARK.len()];
        script = &script[at + MARK.len() + 1..];
        Some((piece, Some(action)))
    })
}

/// Ways to cut a stream: whole, byte by byte, and in lengths that look random and depend on `seed` alone.
pub(crate) fn cuts(stream: &[u8], seed: u8) -> [Vec<&[u8]>; 3] {
    let mut state = u32::from(seed) + 1;
    let mut rest = stream;
    let mut odd = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Mostly a few bytes, at times as much as a segment.
        let most = if state >> 29 == 0 { 1_500 } else { 16 };
        let (piece, tail) = rest.split_at((1 + (state >> 8) as usize % most).min(rest.len()));
        odd.push(piece);
        rest = tail;
    }
    [vec![stream], stream.chunks(1).collect(), odd]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_end_pieces() {
        let read: Vec<_> = pieces(b"ab\xfa\xce\x07cd\xfa\xce\xfa\xce").collect();
        assert_eq!(read, [(&b"ab"[..], Some(7)), (b"cd", Some(0xfa)), (b"\xce", None)]);
    }

    #[test]
    fn every_cut_is_the_whole() {
        let stream: Vec<u8> = (0..9_000_u32).map(|i| i as u8).collect();
        for cut in cuts(&stream, 5) {
            assert_eq!(cut.concat(), stream);
        }
    }
}
