//! The writing side of a routed connection: what the backend writes, less what the backend ledger drops or adapts.

use std::io;
use std::sync::Arc;
use std::task::{ready, Context, Poll};

use oneport_core::ledger::{BackendLedger, Piece, Reconciled};
use oneport_core::wire::frame::HEAD_LEN;

use crate::pair::{Half, Pair};
use crate::stats::Stats;

/// What stands between a server and its client, if anything does: nothing, for nearly all and in the end, and then no memory either.
#[derive(Debug)]
pub(crate) struct Outbound(Option<Box<Ledgered>>);

#[derive(Debug)]
struct Ledgered {
    ledger: BackendLedger,
    /// Bytes that the ledger held back and has let go: an adapted SETTINGS, or (the rest of) the head of a frame. Payload is never
    /// here.
    pending: Vec<u8>,
    /// Who waits to write, or for `pending` to be written.
    pair: Pair,
    /// Where a backend that does not speak HTTP/2 is counted; `None` once that is known.
    stats: Option<Arc<Stats>>,
}

impl Outbound {
    pub(crate) fn new(ledger: BackendLedger, stats: Arc<Stats>) -> Self {
        if ledger.is_transparent() {
            return Self::bare();
        }
        let stats = (ledger.reconciled() == Reconciled::NotYet).then_some(stats);
        Self(Some(Box::new(Ledgered { ledger, pending: Vec::new(), pair: Pair::new(), stats })))
    }

    /// One that nothing is taken out of.
    pub(crate) const fn bare() -> Self {
        Self(None)
    }

    /// Whether writes go straight to the socket.
    pub(crate) fn is_direct(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the ledger is, though bytes that it has let go may still be here.
    pub(crate) fn is_settled(&self) -> bool {
        self.0.as_ref().is_none_or(|ledgered| ledgered.ledger.is_transparent())
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.0.as_ref().is_some_and(|ledgered| ledgered.has_pending())
    }

    /// Writes what is left over from before.
    pub(crate) fn poll_flush(
        &mut self,
        write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        let Some(ledgered) = &mut self.0 else { return Poll::Ready(Ok(())) };
        let answer = ledgered.poll_flush(write);
        self.let_go();
        answer
    }

    /// Polls the write side for the task of this half, with the waker that is to be given to the stream. As long as something may be
    /// left over, which either half may push on, the stream is to be polled in no other way.
    pub(crate) fn poll_as<R>(
        &mut self,
        half: Half,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Self, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let Some(pair) = self.0.as_ref().map(|ledgered| ledgered.pair.clone()) else { return poll(self, cx) };
        let answer = poll(self, &mut Context::from_waker(pair.waker(half, cx)));
        // With something left over it is woken although its answer is there: it may be the one task that can push it on. With an
        // error nothing goes on, and a stream that has said it wakes nobody for it: the other half is to hear of it now.
        if matches!(answer, Poll::Ready(Err(_))) || answer.is_ready() && !self.has_pending() {
            pair.got_on(half);
        }
        answer
    }

    /// Writes what the ledger lets through of `bytes`; returns how many of them are done with. What is accepted here is written,
    /// dropped, or held back until more of the same frame comes; payload is accepted only once the socket has taken it.
    pub(crate) fn poll_write(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Some(ledgered) = &mut self.0 else { return write(bytes) };
        let answer = ledgered.poll_write(bytes, write);
        self.let_go();
        answer
    }

    /// The backend ends its side: what was held back is to be written as it is, by `poll_flush`.
    pub(crate) fn finish(&mut self) {
        if let Some(ledgered) = &mut self.0 {
            ledgered.finish();
        }
        self.let_go();
    }

    /// Nothing is owed any more.
    fn let_go(&mut self) {
        if self.0.as_ref().is_some_and(|ledgered| ledgered.is_direct()) {
            self.0 = None;
        }
    }
}

impl Ledgered {
    fn is_direct(&self) -> bool {
        self.pending.is_empty() && self.ledger.is_transparent()
    }

    fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    fn poll_flush(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let n = ready!(write(&self.pending))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.drain(..n.min(self.pending.len()));
        }
        self.pending = Vec::new();
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(&mut write))?;
        if self.ledger.is_transparent() {
            return write(bytes);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let done = bytes.len() - rest.len();
            let (before, before_rest) = (self.ledger.clone(), rest);
            let piece = match self.ledger.pull(&mut rest) {
                None => break,
                Some(Piece::Held(held)) => {
                    self.pending.extend_from_slice(held);
                    // They have gone on as far as the ledger is concerned: it holds nothing back, and may be empty now.
                    let _ = self.ledger.pull(&mut &[][..]);
                    self.count_reconciled();
                    if self.poll_flush(&mut write)?.is_pending() {
                        break;
                    }
                    continue;
                }
                Some(Piece::Chunk(piece)) => piece,
            };
            // What stands in front of the piece was dropped or held back by the ledger.
            let start = before_rest.len() - rest.len() - piece.len();
            let written = write(piece);
            let taken = match &written {
                Poll::Ready(Ok(n)) if *n == piece.len() => continue,
                Poll::Ready(Ok(n)) => start + n,
                Poll::Ready(Err(_)) | Poll::Pending => start,
            };
            // The socket took less: the ledger goes back and sees just that.
            let seen = self.go_back(&before, before_rest.get(..taken).unwrap_or_default());
            // It now holds back the start of a frame head, and that start is on the wire: the rest of the head must follow it. The
            // piece has it, since a head that is not whole is not in a piece.
            let rest_of_head = if taken > start && seen > 0 { HEAD_LEN - seen } else { 0 };
            if rest_of_head > 0 {
                self.pending
                    .extend_from_slice(before_rest.get(taken..taken + rest_of_head).unwrap_or_default());
                self.go_back(&before, before_rest.get(..taken + rest_of_head).unwrap_or_default());
                // At once, or when the socket wakes the server for it, which may not flush. An error shows at the next write.
                let _ = self.poll_flush(&mut write);
            }
            let taken = taken + rest_of_head;
            return match (written, done + taken) {
                (Poll::Ready(Err(error)), 0) => Poll::Ready(Err(error)),
                (Poll::Ready(Ok(0)), 0) => Poll::Ready(Ok(0)),
                (Poll::Pending, 0) => Poll::Pending,
                (_, accepted) => Poll::Ready(Ok(accepted)),
            };
        }
        Poll::Ready(Ok(bytes.len() - rest.len()))
    }

    /// Puts the ledger to where it stands behind these bytes. Returns how many bytes of a frame head it then holds back.
    fn go_back(&mut self, before: &BackendLedger, mut seen: &[u8]) -> usize {
        self.ledger = before.clone();
        while self.ledger.pull(&mut seen).is_some() {}
        self.ledger.held_head()
    }

    fn finish(&mut self) {
        self.pending.extend_from_slice(&self.ledger.finish());
    }

    fn count_reconciled(&mut self) {
        match self.ledger.reconciled() {
            Reconciled::NotYet => {}
            Reconciled::NotHttp2 => {
                if let Some(stats) = self.stats.take() {
                    stats.not_http2();
                }
            }
            _ => self.stats = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owed::StillOwed;
    use oneport_core::wire::frame::{encode_frame, Kind};
    use oneport_core::wire::settings::{encode_settings, encode_settings_ack, Setting, SettingId};
    use oneport_core::Greeting;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};

    /// A server's first frames, and what a greeted client is to see of them.
    fn frames() -> (Vec<u8>, Vec<u8>) {
        let entry = |id, value| Setting { id, value };
        let (mut written, mut expected) = (Vec::new(), Vec::new());
        encode_settings(&mut written, &[entry(SettingId(9), 1), entry(SettingId(4), 1 << 20)]);
        encode_settings(&mut expected, &[entry(SettingId(4), 1 << 20), entry(SettingId(3), 0x7fff_ffff)]);
        encode_settings_ack(&mut written);
        for out in [&mut written, &mut expected] {
            encode_frame(out, Kind::WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]);
            encode_frame(out, Kind::DATA, 0, 1, &[7; 40]);
            encode_frame(out, Kind::DATA, 0, 1, &[]);
        }
        // It merged the acknowledgements of two SETTINGS, so one is owed for ever.
        (written, expected)
    }

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    impl Flag {
        fn was_woken(&self) -> bool {
            self.0.swap(false, Ordering::Relaxed)
        }
    }

    /// A stream remembers one waker for writing, of whichever half: that of the last poll that was not ready.
    #[test]
    fn a_reader_that_pushes_wakes_the_writer_too() {
        let flags: [Arc<Flag>; 2] = Default::default();
        let wakers = flags.clone().map(Waker::from);
        let [mut writer, mut reader] = wakers.each_ref().map(Context::from_waker);
        let woken = || flags.each_ref().map(|flag| flag.was_woken());
        let mut known: Option<Waker> = None;
        let mut full = |cx: &Context<'_>| {
            // One that another one takes the place of is woken (async-io): the same one is not.
            assert!(known.as_ref().is_none_or(|known| known.will_wake(cx.waker())));
            known = Some(cx.waker().clone());
            Poll::Pending
        };

        let mut outbound = Outbound::new(BackendLedger::new(Greeting::default(), 1), Arc::default());
        // The SETTINGS are accepted and can not be written; then both halves wait.
        let answer = outbound.poll_as(Half::Writer, &mut writer, |outbound, cx| {
            outbound.poll_write(&frames().0, |_| full(cx))
        });
        assert!(matches!(answer, Poll::Ready(Ok(1..))));
        assert!(outbound.has_pending());
        for (half, cx) in [(Half::Writer, &mut writer), (Half::Reader, &mut reader)] {
            let answer = outbound.poll_as(half, cx, |outbound, cx| outbound.poll_flush(|_| full(cx)));
            assert!(answer.is_pending());
        }
        assert_eq!(woken(), [false, false]);
        known.take().expect("it was polled").wake();
        assert_eq!(woken(), [true, true]);

        // The reader pushes all of it: that is what the writer waited for, and nothing wakes it again.
        let answer = outbound.poll_as(Half::Writer, &mut writer, |_, _| Poll::<io::Result<()>>::Pending);
        assert!(answer.is_pending());
        let answer = outbound.poll_as(Half::Reader, &mut reader, |outbound, _| {
            outbound.poll_flush(|bytes| Poll::Ready(Ok(bytes.len())))
        });
        assert!(answer.is_ready());
        assert_eq!(woken(), [true, false]);
    }

    /// An error that the reader meets is not the reader's to tell: the writer is woken, and meets it too.
    #[test]
    fn a_reader_that_meets_an_error_wakes_the_writer() {
        let flags: [Arc<Flag>; 2] = Default::default();
        let wakers = flags.clone().map(Waker::from);
        let [mut writer, mut reader] = wakers.each_ref().map(Context::from_waker);
        let mut outbound = Outbound::new(BackendLedger::new(Greeting::default(), 1), Arc::default());
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);

        let answer = outbound.poll_as(Half::Writer, &mut writer, |outbound, _| {
            outbound.poll_write(&frames().0, |_| Poll::Pending)
        });
        assert!(matches!(answer, Poll::Ready(Ok(1..))));
        let answer =
            outbound.poll_as(Half::Writer, &mut writer, |outbound, _| outbound.poll_flush(|_| Poll::Pending));
        assert!(answer.is_pending());
        let answer = outbound.poll_as(Half::Reader, &mut reader, |outbound, _| {
            outbound.poll_flush(|_| Poll::Ready(Err(broken())))
        });
        assert!(matches!(answer, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe));
        assert!(outbound.has_pending());
        assert_eq!(flags.each_ref().map(|flag| flag.was_woken()), [true, false]);
    }

    /// A socket may cut the head of a frame. The rest of it is accepted, and goes at once if it can: the server may not flush. If it
    /// can not, the socket has been asked last, and tells when it can.
    #[test]
    fn the_rest_of_a_head_goes_at_once_or_waits_to_be_woken() {
        let (written, expected) = frames();
        let (opening, rest) = written.split_at(written.len() - 13 - 49 - 9);
        const CUT: usize = 13 + 4;
        for takes_more in [true, false] {
            let mut outbound = Outbound::new(BackendLedger::new(Greeting::default(), 2), Arc::default());
            let (mut wire, mut answers) = (Vec::new(), Vec::new());
            let answer = outbound.poll_write(opening, |bytes| {
                wire.extend_from_slice(bytes);
                Poll::Ready(Ok(bytes.len()))
            });
            assert!(matches!(answer, Poll::Ready(Ok(n)) if n == opening.len()));
            let before = wire.len();
            let answer = outbound.poll_write(rest, |bytes| {
                let n = match answers.len() {
                    0 => CUT,
                    _ if takes_more => bytes.len(),
                    _ => 0,
                };
                answers.push(n);
                wire.extend_from_slice(&bytes[..n]);
                match n {
                    0 => Poll::Pending,
                    n => Poll::Ready(Ok(n)),
                }
            });
            assert!(matches!(answer, Poll::Ready(Ok(22))), "{answer:?}");
            assert_eq!(outbound.has_pending(), !takes_more);
            assert_eq!(answers, [CUT, if takes_more { 5 } else { 0 }]);
            assert_eq!(wire[before..], expected[before..][..answers.iter().sum()]);
        }
    }

    /// The last thing that is owed may be the last thing that is written: nothing may have to follow it.
    #[test]
    fn a_settled_ledger_is_direct_at_once() {
        let mut written = Vec::new();
        encode_settings_ack(&mut written);
        encode_settings(&mut written, &[]);
        for is_full in [false, true] {
            let mut outbound = Outbound::new(BackendLedger::new(Greeting::default(), 1), Arc::default());
            let answer = outbound.poll_write(&written, |bytes| match is_full {
                true => Poll::Pending,
                false => Poll::Ready(Ok(bytes.len())),
            });
            assert!(matches!(answer, Poll::Ready(Ok(n)) if n == written.len()));
            assert_eq!(outbound.owed(), is_full.then_some(StillOwed::Unflushed));
            assert_eq!(outbound.is_direct(), !is_full);
            assert!(outbound.poll_flush(|bytes| Poll::Ready(Ok(bytes.len()))).is_ready());
            assert!(outbound.is_direct());
            assert_eq!(outbound.owed(), None);
        }
    }

    /// What a backend owes it does not owe any more once it has ended its side, wherever it stopped.
    #[test]
    fn who_has_ended_its_side_owes_only_what_is_not_flushed() {
        let (written, _) = frames();
        for cut in 0..=40 {
            let mut outbound = Outbound::new(BackendLedger::new(Greeting::default(), 1), Arc::default());
            let mut rest = &written[..cut];
            while !rest.is_empty() {
                let Poll::Ready(Ok(n)) = outbound.poll_write(rest, |bytes| Poll::Ready(Ok(bytes.len())))
                else {
                    panic!("the socket takes everything");
                };
                rest = &rest[n..];
            }
            outbound.finish();
            assert!(
                matches!(outbound.owed(), None | Some(StillOwed::Unflushed)),
                "{cut}: {:?}",
                outbound.owed()
            );
            assert!(outbound.poll_flush(|bytes| Poll::Ready(Ok(bytes.len()))).is_ready());
            assert_eq!(outbound.owed(), None, "{cut}");
        }
    }

    /// A socket that takes so many bytes at a time and is full every other time.
    #[test]
    fn short_writes_lose_nothing_and_repeat_nothing() {
        let (written, expected) = frames();
        for size in 1..=written.len() {
            for piece in [1, 3, 9, 16, written.len()] {
                let ledger = BackendLedger::new(Greeting::default(), 2);
                let mut outbound = Outbound::new(ledger, Arc::default());
                let (mut wire, mut is_full) = (Vec::new(), false);
                let mut socket = |bytes: &[u8]| {
                    is_full = !is_full;
                    if is_full {
                        return Poll::Pending;
                    }
                    let n = bytes.len().min(size);
                    wire.extend_from_slice(&bytes[..n]);
                    Poll::Ready(Ok(n))
                };
                for mut rest in written.chunks(piece) {
                    while !rest.is_empty() {
                        if let Poll::Ready(accepted) = outbound.poll_write(rest, &mut socket) {
                            rest = &rest[accepted.expect("the socket has no errors")..];
                        }
                    }
                }
                outbound.finish();
                while outbound.poll_flush(&mut socket).is_pending() {}
                assert_eq!(wire, expected, "{size} bytes at a time of writes of {piece}");
            }
        }
    }
}
