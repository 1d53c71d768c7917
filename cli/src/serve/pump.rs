//! Carries bytes between a client and its backend, each direction on its own, until both have ended.
//!
//! FIN becomes FIN and RST becomes RST. A direction that can not be written any more does not end the other one: what the peer
//! said before it closed still arrives, and its reading side tells whether that was the end or a cut. Meanwhile what comes for
//! the closed side is read and forgotten, so that nobody waits for room that will never be.
//!
//! A side that breaks while the other one takes nothing would not be heard of, since nobody reads it meanwhile. So whoever waits for
//! room waits as well for the error of the side that what is to be written came from ([`Flow::reader_breaks`]).
//!
//! Bulk goes through a pipe inside the kernel ([`Pipes`]) while nothing is owed to either side; everything else is copied, and so is
//! bulk when the pipe is refused.

use std::future::{pending, poll_fn, Future as _};
use std::io;
use std::mem::{replace, take, MaybeUninit};
use std::pin::{pin, Pin};
use std::task::{ready, Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::yield_now;

use super::pipes::{Pipe, Pipes, Unmoved};
use super::side::Side;
use super::socket::Socket;

/// Bytes read at a time. On the stack: an idle connection holds no buffer. A direction that fills it whole is bulk.
const READ_SIZE: usize = 64 * 1024;

/// Bytes of one step through a pipe below which a direction is no bulk any more. Measured on loopback: one step through a pipe takes
/// 1.02 of the processor time of a read and a write with 8 KiB, 0.96 with 16 KiB, 0.91 with 32 KiB, 0.80 with 64 KiB. A fresh
/// pipe takes pages, or parts of them: a network card that leaves 1,448 bytes in each fills one of 64 KiB with 23 KiB, and that
/// costs up to half as much again as copying.
const WORTH: usize = 32 * 1024;

/// Steps of one direction before others get their turn: 2 MiB through a pipe, 512 KiB copied. tokio's own budget would let the first
/// direction have 16 MiB, and leave nothing to the second.
const STEPS: usize = 8;

/// How a pair of connections ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PumpEnd {
    /// Both sides said that they were done.
    Done,
    /// One side was reset or broke: the other one is to be reset.
    Cut,
}

/// What a direction has carried.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Carried {
    /// Bytes that the writer has taken.
    pub(super) bytes: u64,
    /// Those of them that were not copied.
    pub(super) spliced: u64,
}

/// Both directions.
#[derive(Debug, Default)]
pub(super) struct Pump {
    forth: Flow,
    back: Flow,
    /// Whose turn it is to go first.
    is_back_first: bool,
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    /// What was read and the writer has not taken yet.
    pending: Pending,
    phase: Phase,
    way: Way,
    /// The writer is no more: reset, or its host is gone. The system says so once, here to a write: to later reads of the same
    /// socket it looks like an end.
    writer_broke: bool,
    /// Waits for its writer: nobody reads its reader.
    is_stuck: bool,
    carried: Carried,
}

#[derive(Debug, Default)]
enum Pending {
    #[default]
    Nothing,
    Copied {
        bytes: Vec<u8>,
        written: usize,
    },
    Piped(Pipe),
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Phase {
    #[default]
    Open,
    /// The reader has ended; the writer is still to be told.
    Ending,
    /// The reader has ended, and the writer was told.
    Ended,
    /// The writer takes nothing any more: what still comes is forgotten.
    Broken,
}

/// What one direction has to know of the other.
#[derive(Clone, Copy, Debug)]
struct Opposite {
    has_ended: bool,
    /// See [`Flow::writer_broke`]; its writer is the reader here.
    writer_broke: bool,
}

/// How bytes go at present.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Way {
    #[default]
    Copy,
    /// Bulk.
    Splice,
    /// The system does not splice these two.
    OnlyCopy,
}

/// Why what is pending can not be written.
enum Stuck {
    /// The writer takes nothing any more.
    Writer(io::Error),
    /// Bytes are lost.
    Lost(io::Error),
}

impl From<io::Error> for Stuck {
    fn from(error: io::Error) -> Self {
        Self::Writer(error)
    }
}

impl Pump {
    /// Carries bytes both ways until both directions have ended, or one side has broken; then both are to be closed. Cancel-safe.
    pub(super) async fn run<A: Side, B: Side>(
        &mut self,
        client: &mut A,
        backend: &mut B,
        pipes: &Pipes,
    ) -> PumpEnd {
        loop {
            let moved = poll_fn(|cx| match self.poll(cx, client, backend, pipes) {
                Poll::Ready(end) => Poll::Ready(Some(end)),
                Poll::Pending if self.forth.is_stuck || self.back.is_stuck => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(end) = moved.await {
                return end;
            }
            // In a box, so that those who wait for no room have none for this.
            if Box::pin(self.broken_or_woken(client, backend)).await {
                return PumpEnd::Cut;
            }
        }
    }

    /// Waits until a side breaks that is not read (`true`), or this task is woken: by what [`Self::poll`] waits for, which must
    /// have been asked right before.
    async fn broken_or_woken<A: Side, B: Side>(&self, client: &A, backend: &B) -> bool {
        let mut client_breaks = pin!(self.forth.reader_breaks(client, self.back.opposite()));
        let mut backend_breaks = pin!(self.back.reader_breaks(backend, self.forth.opposite()));
        let mut is_asked = false;
        poll_fn(|cx| {
            if client_breaks.as_mut().poll(cx).is_ready() || backend_breaks.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            match replace(&mut is_asked, true) {
                true => Poll::Ready(false),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Carries bytes both ways as far as that goes now. Ready when both directions have ended, or one side has broken; then both
    /// are to be closed.
    fn poll<A: Side, B: Side>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut A,
        backend: &mut B,
        pipes: &Pipes,
    ) -> Poll<PumpEnd> {
        let Self { forth, back, is_back_first } = self;
        // What tokio's budget leaves to the second is not always the same one's.
        let (to_backend, to_client);
        if *is_back_first {
            to_client = back.poll(cx, backend, client, pipes, forth.opposite());
            to_backend = forth.poll(cx, client, backend, pipes, back.opposite());
        } else {
            to_backend = forth.poll(cx, client, backend, pipes, back.opposite());
            to_client = back.poll(cx, backend, client, pipes, forth.opposite());
        }
        *is_back_first = !*is_back_first;
        match (to_backend, to_client) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(PumpEnd::Cut),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(PumpEnd::Done),
            // A reader that would be found broken if it were read.
            _ if forth.is_stuck && back.writer_broke || back.is_stuck && forth.writer_broke => {
                Poll::Ready(PumpEnd::Cut)
            }
            _ => Poll::Pending,
        }
    }

    /// What has gone to the backend.
    pub(super) const fn to_backend(&self) -> Carried {
        self.forth.carried
    }

    /// What has gone to the client.
    pub(super) const fn to_client(&self) -> Carried {
        self.back.carried
    }
}

impl Flow {
    fn opposite(&self) -> Opposite {
        Opposite { has_ended: self.phase == Phase::Ended, writer_broke: self.writer_broke }
    }

    /// Carries what can be carried. Ready when this direction has ended; an error when its reader broke.
    fn poll<R: Side, W: Side>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        pipes: &Pipes,
        opposite: Opposite,
    ) -> Poll<io::Result<()>> {
        let mut steps = 0..STEPS;
        self.is_stuck = false;
        loop {
            match self.phase {
                Phase::Ended => return Poll::Ready(Ok(())),
                Phase::Broken => return self.poll_forget(cx, reader, opposite),
                Phase::Open | Phase::Ending => {}
            }
            let Poll::Ready(written) = self.poll_write_pending(cx, writer) else {
                return self.wait_for_writer();
            };
            match written {
                Ok(()) if self.phase == Phase::Ending => {
                    // When both have ended, the close that follows says it, if nothing else is to be said before.
                    if !opposite.has_ended || writer.bare().is_none() {
                        match Pin::new(&mut *writer).poll_shutdown(cx) {
                            Poll::Pending => return self.wait_for_writer(),
                            // Of what it still had to write.
                            Poll::Ready(Err(error)) => self.writer_broke = is_break(&error),
                            Poll::Ready(Ok(())) => {}
                        }
                    }
                    self.phase = Phase::Ended;
                    continue;
                }
                Ok(()) => {}
                Err(Stuck::Writer(error)) => {
                    self.break_off(&error);
                    continue;
                }
                Err(Stuck::Lost(error)) => return Poll::Ready(Err(error)),
            }
            // Here nothing is pending: no pipe is held until the next turn.
            if steps.next().is_none() {
                come_back(cx);
                return Poll::Pending;
            }
            if self.way == Way::Splice && ready!(self.poll_fill(cx, reader, writer, pipes))? {
                continue;
            }
            let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            if Pin::new(&mut *reader).poll_read(cx, &mut buffer)?.is_pending() {
                // What the writer's ledger still holds must not wait for more to come.
                if let Poll::Ready(Err(error)) = Pin::new(&mut *writer).poll_flush(cx) {
                    self.break_off(&error);
                    continue;
                }
                return Poll::Pending;
            }
            if buffer.filled().is_empty() {
                if opposite.writer_broke {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                self.phase = Phase::Ending;
                continue;
            }
            if self.way == Way::Copy && buffer.remaining() == 0 {
                self.way = Way::Splice;
            }
            let mut rest = buffer.filled();
            while !rest.is_empty() {
                match Pin::new(&mut *writer).poll_write(cx, rest) {
                    Poll::Ready(Ok(n)) if n > 0 => {
                        self.count(n);
                        rest = rest.get(n..).unwrap_or_default();
                    }
                    Poll::Ready(written) => {
                        rest = &[];
                        self.break_off(&written.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
                    }
                    Poll::Pending => break,
                }
            }
            if !rest.is_empty() {
                self.pending = Pending::Copied { bytes: rest.to_vec(), written: 0 };
                return self.wait_for_writer();
            }
        }
    }

    fn wait_for_writer(&mut self) -> Poll<io::Result<()>> {
        self.is_stuck = true;
        Poll::Pending
    }

    /// Ready when the reader has broken while the writer takes nothing. What it has sent ahead of a reset is lost then, as it would
    /// be without anybody between.
    ///
    /// Never ready for one that may have ended before, in good order, and resets what still comes for it: all that it had to say is
    /// still to arrive. The system calls that a broken pipe as long as our own end was not said to it, and a reset afterwards, so
    /// of one that was told of our end nothing can be known but by reading it.
    async fn reader_breaks<R: Side>(&self, reader: &R, opposite: Opposite) {
        if let Some(socket) = reader.socket().filter(|_| self.is_stuck && !opposite.has_ended) {
            // Without an error: a write was told of it, and so is the pump.
            if socket.broken().await.is_some_and(|error| is_break(&error)) {
                return;
            }
        }
        pending::<()>().await;
    }

    /// Fills a pipe with what the reader has. `Ready(false)`: a plain read is to tell what there is, if anything.
    ///
    /// That read is not saved even where the system says that there is nothing: it says so as well of bytes in front of an urgent
    /// one, and a read gets past that.
    fn poll_fill<R: Side, W: Side>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &R,
        writer: &W,
        pipes: &Pipes,
    ) -> Poll<io::Result<bool>> {
        let (Some(from), Some(_)) = (reader.bare(), writer.bare()) else { return Poll::Ready(Ok(false)) };
        // A pipe is taken when there is something to put into it.
        ready!(from.poll_read_ready(cx))?;
        let Some(mut pipe) = pipes.take() else { return Poll::Ready(Ok(false)) };
        match pipe.fill(from) {
            Ok(n) => {
                if n < WORTH {
                    self.way = Way::Copy;
                }
                self.pending = Pending::Piped(pipe);
                Poll::Ready(Ok(true))
            }
            Err(Unmoved::NotNow) => Poll::Ready(Ok(false)),
            Err(Unmoved::Unsupported) => {
                self.way = Way::OnlyCopy;
                Poll::Ready(Ok(false))
            }
            Err(Unmoved::Broken(error)) => Poll::Ready(Err(error)),
        }
    }

    /// The writer takes nothing any more.
    fn break_off(&mut self, error: &io::Error) {
        self.pending = Pending::Nothing;
        self.phase = Phase::Broken;
        self.writer_broke = is_break(error);
    }

    /// Reads and forgets. Always ready: this direction has ended as far as the writer is concerned, and goes on only as long as
    /// the other one does.
    fn poll_forget<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        opposite: Opposite,
    ) -> Poll<io::Result<()>> {
        for _ in 0..STEPS {
            let mut buffer = [MaybeUninit::uninit(); READ_SIZE];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            match Pin::new(&mut *reader).poll_read(cx, &mut buffer)? {
                Poll::Pending => return Poll::Ready(Ok(())),
                Poll::Ready(()) if buffer.filled().is_empty() && opposite.writer_broke => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                Poll::Ready(()) if buffer.filled().is_empty() => {
                    self.phase = Phase::Ended;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(()) => {}
            }
        }
        come_back(cx);
        Poll::Ready(Ok(()))
    }

    /// Writes what was read before.
    fn poll_write_pending<W: Side>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<Result<(), Stuck>> {
        loop {
            match &mut self.pending {
                Pending::Nothing => return Poll::Ready(Ok(())),
                Pending::Copied { bytes, written } => match bytes.get(*written..).unwrap_or_default() {
                    [] => self.pending = Pending::Nothing,
                    rest => match ready!(Pin::new(&mut *writer).poll_write(cx, rest))? {
                        0 => return Poll::Ready(Err(Stuck::Writer(io::ErrorKind::WriteZero.into()))),
                        n => {
                            *written += n;
                            self.count(n);
                        }
                    },
                },
                Pending::Piped(pipe) if pipe.is_empty() => self.pending = Pending::Nothing,
                Pending::Piped(pipe) => match ready!(poll_drain(cx, pipe, writer.bare()))? {
                    Some(n) => {
                        self.count(n);
                        self.carried.spliced += n as u64;
                    }
                    None => {
                        self.way = Way::OnlyCopy;
                        if let Pending::Piped(pipe) = take(&mut self.pending) {
                            let bytes = pipe.take_out().map_err(Stuck::Lost)?;
                            self.pending = Pending::Copied { bytes, written: 0 };
                        }
                    }
                },
            }
        }
    }

    /// The writer has taken so many bytes.
    fn count(&mut self, bytes: usize) {
        self.carried.bytes += bytes as u64;
    }
}

/// Has this task polled again, behind all others that can run. To wake it would not do: then the runtime asks the system only every
/// 61st time whether there is something to do for others.
fn come_back(cx: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(cx);
}

/// Whether a write that failed has taken from the socket what its reads are to know: that there is no end in good order. A broken
/// pipe says nothing of the kind: its peer had ended before, or was told of already.
fn is_break(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::BrokenPipe
}

/// Moves what a pipe holds to a socket: how much, or `None` if this is not how to do it.
fn poll_drain(
    cx: &mut Context<'_>,
    pipe: &mut Pipe,
    socket: Option<&Socket>,
) -> Poll<io::Result<Option<usize>>> {
    let Some(socket) = socket else { return Poll::Ready(Ok(None)) };
    loop {
        ready!(socket.poll_write_ready(cx))?;
        let mut moved = Err(Unmoved::NotNow);
        // Its answer is in `moved`: this one only says whether to wait.
        let _ = socket.try_write(|| {
            moved = pipe.drain(socket);
            match moved {
                Err(Unmoved::NotNow) => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(()),
            }
        });
        match moved {
            Ok(n) => return Poll::Ready(Ok(Some(n))),
            Err(Unmoved::NotNow) => {}
            Err(Unmoved::Unsupported) => return Poll::Ready(Ok(None)),
            Err(Unmoved::Broken(error)) => return Poll::Ready(Err(error)),
        }
    }
}

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;
