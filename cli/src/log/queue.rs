//! The way of a line to stderr. Who carries connections never waits for it: lines go through a queue, bounded in lines and in bytes, to a thread of
//! their own. When stderr takes nothing (a full pipe), lines are dropped and counted, and the count is logged once it takes lines
//! again; when it is closed, they vanish.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TrySendError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::{Event, Format, Level};

/// Lines that wait for stderr; behind them lines are dropped.
const QUEUE: usize = 4_096;

/// The memory that they take together, in bytes; behind it lines are dropped as well. Room for [`QUEUE`] lines of connections, which
/// have about 200 bytes, and for fewer of requests.
const QUEUE_BYTES: usize = 2 << 20;

/// How long the end of the program waits for stderr to take what is queued.
const FLUSH: Duration = Duration::from_millis(500);

/// How soon the end of the program looks again for room in the queue.
const RETRY: Duration = Duration::from_millis(2);

/// What the thread that writes is sent.
enum Message {
    /// Say on this channel that everything before it is written.
    Flush(SyncSender<()>),
    Line(String),
}

impl Message {
    /// The memory that it holds, beside its place in the queue.
    fn bytes(&self) -> usize {
        match self {
            Self::Flush(_) => 0,
            Self::Line(line) => line.capacity(),
        }
    }
}

/// What those who log share with the thread that writes.
#[derive(Default)]
struct Counts {
    /// Lines that found no room, and of which nothing was said yet.
    dropped: AtomicU64,
    /// Bytes of the lines in the queue, and of the one that is being written.
    held: AtomicUsize,
}

/// Where events go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Logger {
    level: Level,
    format: Format,
    queue: SyncSender<Message>,
    counts: Arc<Counts>,
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Logger {
    /// A logger to stderr.
    pub(crate) fn stderr(level: Level, format: Format) -> Self {
        Self::to(io::stderr(), level, format)
    }

    fn to(out: impl Write + Send + 'static, level: Level, format: Format) -> Self {
        let (queue, lines) = sync_channel(QUEUE);
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        // Without a thread (a system at its limit) every line is dropped: logging is no reason not to serve.
        let _ = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(out, &lines, &shared, format));
        Self { level, format, queue, counts }
    }

    /// Whether events of this level are logged.
    pub(crate) fn is_enabled(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Logs an event, if its level is logged. Never waits.
    pub(crate) fn log(&self, event: &Event) {
        self.log_until(event, None);
    }

    /// Logs an event of the program's end, if its level is logged. Waits for room, but not for ever.
    pub(crate) fn log_last(&self, event: &Event) {
        self.log_until(event, Some(Instant::now() + FLUSH));
    }

    fn log_until(&self, event: &Event, until: Option<Instant>) {
        if self.is_enabled(event.level) {
            let line = event.line(self.format, SystemTime::now());
            if !self.send(Message::Line(line), until) {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until everything is written, but not for ever.
    pub(crate) fn flush(&self) {
        let until = Instant::now() + FLUSH;
        let (done, is_done) = sync_channel(1);
        if self.send(Message::Flush(done), Some(until)) {
            let _ = is_done.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Puts a message into the queue as soon as there is room for it, if that is before `until`; without a time, if it is now.
    fn send(&self, mut message: Message, until: Option<Instant>) -> bool {
        while let Err(back) = self.offer(message) {
            let Some(back) = back.filter(|_| until.is_some_and(|until| Instant::now() < until)) else {
                return false;
            };
            thread::sleep(RETRY);
            message = back;
        }
        true
    }

    /// Puts a message into the queue, or gives it back if there is no room for it now; not if there never will be, since nobody writes.
    fn offer(&self, message: Message) -> Result<(), Option<Message>> {
        let (held, bytes) = (&self.counts.held, message.bytes());
        let has_room = held.fetch_add(bytes, Ordering::Relaxed) + bytes <= QUEUE_BYTES;
        let offered = match has_room {
            true => self.queue.try_send(message),
            false => Err(TrySendError::Full(message)),
        };
        offered.map_err(|error| {
            held.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                TrySendError::Disconnected(_) => None,
                TrySendError::Full(message) => Some(message),
            }
        })
    }
}

fn write_lines(mut out: impl Write, lines: &Receiver<Message>, counts: &Counts, format: Format) {
    while let Ok(message) = lines.recv() {
        // One write a line: lines of several processes on one pipe do not mix. A closed stderr is nobody's fault.
        if let Message::Line(line) = &message {
            let _ = out.write_all(line.as_bytes());
        }
        counts.held.fetch_sub(message.bytes(), Ordering::Relaxed);
        let missed = counts.dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            let event = Event::new(Level::Warn, "log-lines-dropped").with("count", missed);
            let _ = out.write_all(event.line(format, SystemTime::now()).as_bytes());
        }
        if let Message::Flush(done) = message {
            let _ = out.flush();
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
