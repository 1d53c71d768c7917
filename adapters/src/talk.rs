//! The mux's part of a connection, the same on each runtime that polls: the machine's words out, the client's bytes in, and the clock.

use std::io;
use std::task::{ready, Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use oneport_core::{Handover, MuxMachine, Outcome, Output, Phase, Reply};

use crate::limits::after;
use crate::registry::{Signal, Ticket};

/// Bytes read at a time from an undecided connection: the most that may lie behind the verdict in the replay. All but unusual openings
/// come in one read of it.
pub(crate) const READ_SIZE: usize = 4 * 1024;

/// What a connection is made of where it runs: a stream that can be polled, and a clock.
pub(crate) trait Line {
    /// Reads once, into a buffer that is not held while it waits, and tells the machine; how much it was.
    fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut MuxMachine<usize>,
    ) -> Poll<io::Result<usize>>;

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// What [`poll_alarm`](Self::poll_alarm) is about from here on.
    fn set_alarm(&mut self, at: Instant);

    /// Ready when the time has come, and the socket can have said what it held until then.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    fn now(&self) -> Instant;
}

/// How the machine's part ends.
pub(crate) enum End {
    Closed { outcome: Outcome, greeted: bool, has_said: bool },
    Routed(Handover<usize>),
    Split(Bytes),
}

/// The loop of a machine. Thousands wait in one: it has no buffer meanwhile, and nothing is in it twice.
pub(crate) struct Talk {
    machine: MuxMachine<usize>,
    /// How long last words may take.
    linger: Duration,
    /// What is being written.
    words: Option<Box<Words>>,
    /// Whether the machine has been asked what to do, and waits for news.
    waits: bool,
    greeted: bool,
    has_said: bool,
}

struct Words {
    bytes: Vec<u8>,
    written: usize,
    /// They have a time of their own: what they answer is often that the phase's time, or the listener's, is over.
    are_last: bool,
}

impl Talk {
    pub(crate) const fn new(machine: MuxMachine<usize>, linger: Duration) -> Self {
        Self { machine, linger, words: None, waits: false, greeted: false, has_said: false }
    }

    /// Ready when nothing is left for the mux to say or to hear.
    pub(crate) fn poll(&mut self, line: &mut impl Line, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if let Some(words) = &mut self.words {
                let phase = self.machine.phase();
                let said = ready!(words.poll_say(line, phase, ticket, cx));
                self.words = None;
                if let Err(outcome) = said {
                    self.machine.handle_cut(outcome, line.now());
                }
            }
            if !self.waits {
                if let Some(end) = self.ask(line, ticket) {
                    return Poll::Ready(end);
                }
            }
            if self.waits {
                ready!(self.poll_news(line, ticket, cx));
                self.waits = false;
            }
        }
    }

    /// Asks the machine what to do next, and sets the clock for that.
    fn ask(&mut self, line: &mut impl Line, ticket: &Ticket) -> Option<End> {
        match self.machine.poll_output() {
            Output::Write(reply) => {
                let are_last = matches!(reply, Reply::Refusal(_));
                line.set_alarm(match self.machine.deadline() {
                    Some(deadline) if !are_last => deadline,
                    _ => after(line.now(), self.linger),
                });
                let mut bytes = Vec::new();
                reply.encode(&mut bytes);
                self.words = Some(Box::new(Words { bytes, written: 0, are_last }));
                self.has_said = true;
                None
            }
            Output::NeedInput { until } => {
                self.greeted |= self.machine.is_greeted();
                let Some(until) = until else { return Some(self.closed(Outcome::Left(Phase::Delivery))) };
                let machine = &self.machine;
                ticket.update(machine.phase(), machine.last_byte(), machine.buffered(), line.now());
                line.set_alarm(until);
                self.waits = true;
                None
            }
            Output::Routed(handover) => Some(End::Routed(handover)),
            Output::Split(opening) => Some(End::Split(opening)),
            Output::Closed(outcome) => Some(self.closed(outcome)),
        }
    }

    const fn closed(&self, outcome: Outcome) -> End {
        End::Closed { outcome, greeted: self.greeted, has_said: self.has_said }
    }

    /// Tells the machine what has happened: that the connection has to go, what the socket holds, or, if it holds nothing, the time.
    fn poll_news(&mut self, line: &mut impl Line, ticket: &Ticket, cx: &mut Context<'_>) -> Poll<()> {
        let machine = &mut self.machine;
        if let Poll::Ready(signal) = ticket.poll_signal(cx) {
            match signal {
                Signal::Evicted => machine.handle_eviction(line.now()),
                Signal::Shutdown => machine.handle_shutdown(line.now()),
            }
        } else if let Poll::Ready(read) = line.poll_input(cx, machine) {
            match read {
                Ok(0) => machine.handle_eof(line.now()),
                Ok(_) => {}
                Err(_) => machine.handle_reset(line.now()),
            }
        } else {
            ready!(line.poll_alarm(cx));
            machine.handle_timeout(line.now());
        }
        Poll::Ready(())
    }
}

impl Words {
    /// The write comes first: the clock and the signal are about a client that does not read.
    fn poll_say(
        &mut self,
        line: &mut impl Line,
        phase: Phase,
        ticket: &Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Outcome>> {
        if let Poll::Ready(written) = self.poll_write(line, cx) {
            return Poll::Ready(written.map_err(|_| Outcome::Left(phase)));
        }
        match ticket.poll_signal(cx) {
            Poll::Ready(signal) if !self.are_last => Poll::Ready(Err(signal.into())),
            _ => line.poll_alarm(cx).map(|()| Err(Outcome::TimedOut(phase))),
        }
    }

    fn poll_write(&mut self, line: &mut impl Line, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(line.poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        line.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use oneport_core::{matchers, Config, Reason};

    use super::*;
    use crate::context::Plan;
    use crate::limits::Limits;

    /// A client that says this, and takes words or does not.
    struct Client {
        says: &'static [u8],
        takes: bool,
        heard: Vec<u8>,
        is_late: bool,
        now: Instant,
    }

    impl Line for Client {
        fn poll_input(
            &mut self,
            _cx: &mut Context<'_>,
            machine: &mut MuxMachine<usize>,
        ) -> Poll<io::Result<usize>> {
            let says = core::mem::take(&mut self.says);
            machine.handle_input(says, self.now);
            if says.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(Ok(says.len()))
            }
        }

        fn poll_write(&mut self, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if !self.takes {
                return Poll::Pending;
            }
            self.heard.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn set_alarm(&mut self, _at: Instant) {}

        fn poll_alarm(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
            if self.is_late {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }

        fn now(&self) -> Instant {
            self.now
        }
    }

    /// A client that is refused and does not read yet, and a poll of it.
    fn refused(then: impl FnOnce(&mut Client, &crate::registry::Registry)) -> (Poll<End>, Client) {
        let mut plan = Plan::new(Config::default(), Limits::default());
        plan.route("ssh".into(), matchers::ssh());
        let shared = plan.finish();
        let now = Instant::now();
        let mut client =
            Client { says: b"GET / HTTP/1.1\r\n\r\n", takes: false, heard: Vec::new(), is_late: false, now };
        let ticket = shared.registry.enter(now);
        let mut talk = shared.talk(now);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(talk.poll(&mut client, &ticket, &mut cx).is_pending());
        then(&mut client, &shared.registry);
        let end = talk.poll(&mut client, &ticket, &mut cx);
        (end, client)
    }

    #[test]
    fn last_words_have_their_time_whatever_signal_comes() {
        let (end, _) = refused(|_, registry| registry.shut_down());
        assert!(end.is_pending());
        let (end, client) = refused(|client, registry| {
            registry.shut_down();
            client.takes = true;
        });
        let is_told = |outcome| outcome == Outcome::Refused(Reason::NoRoute);
        assert!(matches!(end, Poll::Ready(End::Closed { outcome, has_said: true, .. }) if is_told(outcome)));
        assert!(client.heard.starts_with(b"HTTP/1.1 404 "));
    }

    #[test]
    fn last_words_that_nobody_takes_end_with_their_time() {
        let (end, client) = refused(|client, _| client.is_late = true);
        assert!(matches!(end, Poll::Ready(End::Closed { has_said: true, .. })));
        assert!(client.heard.is_empty());
    }
}
