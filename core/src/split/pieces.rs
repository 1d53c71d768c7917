//! Payload on its way: a queue of slices.

use std::collections::VecDeque;

use bytes::Bytes;

use super::batch::COPIED_BELOW;

/// A slice pins the whole buffer that it was cut from. One that is less than this fraction of it is copied, so that what is
/// held is at most this many times what is counted.
const PINNED_AT_MOST: usize = 4;

/// Copies are gathered in blocks of up to this size, so that dribbled bytes do not each cost an allocation.
const BLOCK: usize = 1024;

/// Memory for copies that an empty queue keeps: what is copied twice rather than cut out fits.
const KEPT_TAIL: usize = COPIED_BELOW;

/// Places for pieces that an empty queue keeps.
const KEPT: usize = 16;

/// Payload in order.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    /// Copied bytes behind the pieces.
    tail: Vec<u8>,
    len: usize,
}

impl Pieces {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a slice of a buffer of `whole` bytes.
    pub(super) fn push(&mut self, piece: Bytes, whole: usize) {
        if piece.is_empty() {
            return;
        }
        self.len += piece.len();
        if piece.len() * PINNED_AT_MOST >= whole && piece.len() >= BLOCK / PINNED_AT_MOST {
            self.close_tail();
            self.pieces.push_back(piece);
            return;
        }
        self.copy(&piece);
    }

    /// Appends a copy of a few bytes.
    pub(super) fn push_few(&mut self, few: &[u8]) {
        self.len += few.len();
        self.copy(few);
    }

    fn copy(&mut self, bytes: &[u8]) {
        if self.tail.len() + bytes.len() > BLOCK {
            self.close_tail();
        }
        self.tail.extend_from_slice(bytes);
    }

    /// All that there is, if it is at most this much and lies in one block of copies: to be copied once more rather than
    /// cut out, and dropped by [`clear`](Self::clear).
    pub(super) fn few(&self, most: usize) -> Option<&[u8]> {
        (self.pieces.is_empty() && !self.tail.is_empty() && self.len <= most).then_some(&self.tail)
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(Bytes::from(std::mem::take(&mut self.tail)));
        }
    }

    /// Takes the first piece or its first `most` bytes; `None` when there is nothing or nothing is wanted.
    pub(super) fn pop(&mut self, most: usize) -> Option<Bytes> {
        if most == 0 {
            return None;
        }
        if self.pieces.is_empty() {
            self.close_tail();
        }
        let first = self.pieces.front_mut()?;
        let piece = if first.len() > most { first.split_to(most) } else { self.pieces.pop_front()? };
        self.len -= piece.len();
        Some(piece)
    }

    /// Puts pieces that were popped back in front, the last of them first.
    pub(super) fn unpop(&mut self, piece: Bytes) {
        self.len += piece.len();
        self.pieces.push_front(piece);
    }

    /// Forgets everything; says how many bytes that were.
    pub(super) fn clear(&mut self) -> usize {
        self.pieces.clear();
        self.pieces.shrink_to(KEPT);
        self.tail.clear();
        self.tail.shrink_to(KEPT_TAIL);
        std::mem::take(&mut self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(pieces: &mut Pieces, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = pieces.pop(most) {
            assert!(!piece.is_empty() && piece.len() <= most);
            all.extend_from_slice(&piece);
        }
        assert_eq!(pieces.len(), 0);
        all
    }

    #[test]
    fn order_and_count_survive_every_mix_of_sizes() {
        for most in [1, 7, 1_000, 100_000] {
            let (mut pieces, mut all) = (Pieces::default(), Vec::new());
            for (number, size) in [3, 5_000, 1, 0, 255, 256, 900, 2_000, 2, 16_384].into_iter().enumerate() {
                let piece = vec![number as u8; size];
                all.extend_from_slice(&piece);
                pieces.push(Bytes::from(piece), size.max(1_200));
                assert_eq!(pieces.len(), all.len());
            }
            assert_eq!(drain(&mut pieces, most), all);
        }
    }

    #[test]
    fn dribbled_bytes_share_blocks() {
        let mut pieces = Pieces::default();
        for _ in 0..10_000 {
            pieces.push(Bytes::from_static(b"x"), 16_384);
        }
        assert!(pieces.pieces.len() <= 10_000 / BLOCK + 1);
        assert_eq!(drain(&mut pieces, 16_384).len(), 10_000);
    }

    /// A quarter of a buffer, and a quarter of a block, is kept as it is; less of either is copied.
    #[test]
    fn what_would_pin_much_is_copied() {
        for (size, whole, is_kept) in [
            (4_096, 16_384, true),
            (4_095, 16_384, false),
            (16_384, 16_384, true),
            (256, 1_024, true),
            (255, 255, false),
            (256, 1_025, false),
        ] {
            let (piece, mut pieces) = (Bytes::from(vec![7; size]), Pieces::default());
            pieces.push(piece.clone(), whole);
            let popped = pieces.pop(usize::MAX).expect("it was pushed");
            assert_eq!(popped.as_ptr() == piece.as_ptr(), is_kept, "{size} of {whole}");
            assert_eq!(popped, piece);
        }
    }

    #[test]
    fn a_few_bytes_need_no_piece() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.few(9), None, "of nothing");
        pieces.push_few(b"one");
        pieces.push(Bytes::from_static(b"two"), 16_384);
        assert_eq!(pieces.few(5), None, "more than asked for");
        assert_eq!((pieces.few(6), pieces.len()), (Some(&b"onetwo"[..]), 6));
        assert_eq!(pieces.pop(4).as_deref(), Some(&b"onet"[..]));
        pieces.push_few(b"three");
        assert_eq!(pieces.few(99), None, "not in one block");
        assert_eq!(drain(&mut pieces, 99), b"wothree");
        pieces.push_few(&[7; 200]);
        assert_eq!((pieces.clear(), pieces.len(), pieces.few(99)), (200, 0, None));
        assert!(pieces.tail.capacity() <= KEPT_TAIL);
    }

    #[test]
    fn what_was_popped_can_be_put_back() {
        let mut pieces = Pieces::default();
        pieces.push(Bytes::from(vec![1; 4_000]), 4_000);
        pieces.push(Bytes::from_static(b"end"), 4_000);
        let first = pieces.pop(1_000).unwrap();
        let second = pieces.pop(9_000).unwrap();
        pieces.unpop(second);
        pieces.unpop(first);
        assert_eq!(pieces.len(), 4_003);
        assert_eq!(drain(&mut pieces, 500), [vec![1; 4_000], b"end".to_vec()].concat());
    }
}
