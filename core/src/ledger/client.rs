//! Client to backend: the acknowledgement of the mux's SETTINGS must not reach a backend that never sent them.

use super::walk::{Next, Walk};
use super::Piece;
use crate::wire::frame::Head;

/// What is owed to the client-to-backend stream: the acknowledgements of SETTINGS that the mux sent.
///
/// Clients acknowledge in order, so the first well-formed acknowledgement is the one of the mux's SETTINGS. One with a payload
/// or on a stream is none: it passes, and the backend judges it.
#[derive(Clone, Debug)]
pub struct ClientLedger {
    owed: u32,
    walk: Walk,
}

impl ClientLedger {
    /// A ledger for a stream that stands between two frames, from which `owed` acknowledgements are to be taken.
    pub const fn new(owed: u32) -> Self {
        Self { owed, walk: Walk::new() }
    }

    /// Whether nothing is owed and nothing held back: every byte from here on passes as it is.
    pub fn is_transparent(&self) -> bool {
        self.owed == 0 && self.walk.held().is_empty()
    }

    /// The number of acknowledgements still to be taken out.
    pub const fn owed(&self) -> u32 {
        self.owed
    }

    /// Takes bytes from the front of `chunk` and returns those that go on to the backend, or `None` when the chunk is used up.
    /// Call it until then. Never allocates; never returns an empty slice.
    pub fn pull<'c>(&mut self, chunk: &mut &'c [u8]) -> Option<Piece<'_, 'c>> {
        loop {
            if chunk.is_empty() {
                return None;
            }
            if self.is_transparent() {
                return Some(Piece::Chunk(core::mem::take(chunk)));
            }
            match self.walk.next(chunk, Head::is_settings_ack) {
                Next::Pass(n) => {
                    let (pass, rest) = chunk.split_at(n);
                    *chunk = rest;
                    return Some(Piece::Chunk(pass));
                }
                Next::Stop { head, taken } => {
                    *chunk = &chunk[taken..];
                    if !(self.owed > 0 && head.is_settings_ack()) {
                        self.walk.pass_payload(head.length);
                        return Some(Piece::Held(self.walk.release()));
                    }
                    self.owed -= 1;
                    self.walk.drop_head();
                }
                Next::Held { taken } => *chunk = &chunk[taken..],
            }
        }
    }

    /// The client has ended its side: the bytes that were held back (fewer than nine), which go on as they are.
    pub fn finish(&mut self) -> &[u8] {
        self.owed = 0;
        self.walk.release()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{encode_frame, flag, Kind};
    use crate::wire::settings::encode_settings_ack;

    /// All that goes on of a stream in these chunks.
    fn pass<'a>(owed: u32, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut ledger = ClientLedger::new(owed);
        let mut out = Vec::new();
        for mut chunk in chunks {
            while let Some(piece) = ledger.pull(&mut chunk) {
                assert!(!piece.is_empty());
                out.extend_from_slice(&piece);
            }
        }
        out.extend_from_slice(ledger.finish());
        out
    }

    #[test]
    fn the_first_acknowledgement_leaves_in_every_cut() {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        let look_alike = [0, 0, 0, 4, 1, 0, 0, 0, 0];
        for out in [&mut stream, &mut expected] {
            encode_frame(out, Kind::DATA, 0, 1, &look_alike);
            encode_frame(out, Kind::SETTINGS, flag::ACK, 0, &[0; 6]);
            encode_frame(out, Kind::SETTINGS, flag::ACK, 3, &[]);
            encode_frame(out, Kind::SETTINGS, 0, 0, &[]);
        }
        encode_settings_ack(&mut stream);
        for out in [&mut stream, &mut expected] {
            encode_frame(out, Kind::DATA, 0, 1, &look_alike);
            encode_settings_ack(out);
            out.extend_from_slice(&[0, 0, 9, 9]);
        }
        for cut in 0..=stream.len() {
            let (a, b) = stream.split_at(cut);
            assert_eq!(pass(1, [a, b]), expected, "cut at {cut}");
        }
        assert_eq!(pass(1, stream.chunks(1)), expected);
        assert_eq!(pass(0, stream.chunks(1)), stream);
    }

    #[test]
    fn payload_is_passed_without_copying() {
        let mut stream = Vec::new();
        encode_frame(&mut stream, Kind::DATA, 0, 1, &[7; 100]);
        let mut ledger = ClientLedger::new(1);
        let mut chunk = &stream[..];
        let passed = ledger.pull(&mut chunk).map(|piece| piece.as_ptr());
        assert_eq!(passed, Some(stream.as_ptr()));
    }
}
