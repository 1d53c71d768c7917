//! What goes out to one side in one write: frames that the machine composed, and payload that it only passes on.

use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Payload shorter than this is copied between the frame heads: a slice of its own would cost the writer more.
pub(super) const COPIED_BELOW: usize = 256;

/// Memory for composed frames that is kept for the next batch.
const KEPT: usize = 16 * 1024;

/// Payload that goes out behind this much of what was composed.
struct Passed {
    behind: usize,
    payload: Bytes,
}

/// Bytes for one side, in order: a [`Buf`] over frames that the machine composed and slices of what it was given.
///
/// Write it out, with [`chunks_vectored`](Buf::chunks_vectored) where the transport can, [`advance`](Buf::advance) by
/// what was taken, and give it back through [`handle_written`](super::SplitMachine::handle_written), which uses its memory
/// again.
#[derive(Default)]
pub struct Batch {
    composed: Vec<u8>,
    passed: std::collections::VecDeque<Passed>,
    /// How much of `composed` has been read.
    read: usize,
    passed_len: usize,
}

/// Says how many bytes there are, and not which: cookies and credentials are not for logs.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} bytes)", self.len())
    }
}

impl Batch {
    /// The frames to append to.
    pub(super) fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.composed
    }

    /// Appends payload, which is not copied unless it is small.
    pub(super) fn pass(&mut self, payload: Bytes) {
        if payload.len() < COPIED_BELOW {
            self.composed.extend_from_slice(&payload);
        } else {
            self.passed_len += payload.len();
            self.passed.push_back(Passed { behind: self.composed.len(), payload });
        }
    }

    /// Forgets everything and keeps a bounded amount of memory.
    pub(super) fn clear(&mut self) {
        self.composed.clear();
        self.composed.shrink_to(KEPT);
        self.passed.clear();
        self.read = 0;
        self.passed_len = 0;
    }

    /// Bytes that are still to be written.
    pub fn len(&self) -> usize {
        self.composed.len() - self.read + self.passed_len
    }

    /// Whether nothing is left to be written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was composed up to the next payload.
    fn composed_part(&self) -> &[u8] {
        let end = self.passed.front().map_or(self.composed.len(), |passed| passed.behind);
        self.composed.get(self.read..end).unwrap_or_default()
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        let composed = self.composed_part();
        match self.passed.front() {
            Some(passed) if composed.is_empty() => &passed.payload,
            _ => composed,
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let mut from = self.read;
        let ends = self.passed.iter().map(|passed| (passed.behind, Some(&passed.payload)));
        for (end, payload) in ends.chain([(self.composed.len(), None)]) {
            let composed = self.composed.get(from..end).unwrap_or_default();
            from = end;
            for part in [composed, payload.map_or(&[], |payload| &payload[..])] {
                if !part.is_empty() {
                    let Some(slice) = slices.get_mut(used) else { return used };
                    *slice = IoSlice::new(part);
                    used += 1;
                }
            }
        }
        used
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let composed = self.composed_part().len().min(count);
            self.read += composed;
            count -= composed;
            let Some(passed) = self.passed.front_mut() else {
                assert!(count == 0, "advanced beyond the end");
                return;
            };
            if self.read < passed.behind {
                return;
            }
            let payload = passed.payload.len().min(count);
            passed.payload.advance(payload);
            self.passed_len -= payload;
            count -= payload;
            if passed.payload.is_empty() {
                self.passed.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Batch, Vec<u8>) {
        let mut batch = Batch::default();
        let large = Bytes::from(vec![7; 1_000]);
        let mut all = Vec::new();
        batch.pass(large.clone());
        all.extend_from_slice(&large);
        batch.frames().extend_from_slice(b"head");
        all.extend_from_slice(b"head");
        for payload in [large.clone(), large, Bytes::from_static(b"small")] {
            all.extend_from_slice(&payload);
            batch.pass(payload);
        }
        (batch, all)
    }

    #[test]
    fn in_order_however_it_is_taken() {
        for step in [1, 2, 3, 999, 1_000, 1_001, 1_004, 5_000] {
            let (mut batch, all) = sample();
            assert_eq!(batch.len(), all.len());
            let mut taken = Vec::new();
            while batch.has_remaining() {
                let count = batch.chunk().len().min(step);
                taken.extend_from_slice(&batch.chunk()[..count]);
                batch.advance(count);
            }
            assert_eq!(taken, all, "{step}");
        }
    }

    #[test]
    fn in_order_as_slices() {
        for skipped in 0..2_500 {
            let (mut batch, all) = sample();
            batch.advance(skipped);
            let mut slices = [IoSlice::new(&[]); 8];
            let used = batch.chunks_vectored(&mut slices);
            let flat: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
            assert_eq!(flat, all[skipped..]);
        }
    }

    /// A batch is used again for as long as its connection lives.
    #[test]
    fn cleared_it_is_empty_and_small() {
        let (mut batch, _) = sample();
        batch.frames().extend_from_slice(&[0; 100_000]);
        batch.advance(2_000);
        batch.clear();
        assert_eq!((batch.composed.len(), batch.passed.len(), batch.read, batch.len()), (0, 0, 0, 0));
        assert!((8_192..=16_384).contains(&batch.composed.capacity()));
    }

    #[test]
    fn too_few_slices_take_the_first_parts() {
        let (batch, all) = sample();
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(batch.chunks_vectored(&mut slices), 2);
        assert_eq!([&slices[0][..], &slices[1][..]].concat(), all[..1_004]);
    }
}
