//! Log lines on stderr, as text or as JSON, one event a line.
//!
//! Whoever logs never waits: lines go through a bounded queue to a thread of their own. When stderr takes nothing (a full
//! pipe), lines are dropped and counted, and the count is logged once it takes lines again; when it is closed, they vanish.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines that wait for stderr; behind them lines are dropped.
const QUEUE: usize = 4_096;

/// How long the end of the program waits for stderr to take what is queued.
const FLUSH: Duration = Duration::from_millis(500);

/// How much a line matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl Level {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    Json,
    Text,
}

impl Format {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

/// The value of a field of an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Number(u64),
    Text(String),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    level: Level,
    name: &'static str,
    fields: Vec<(&'static str, Value)>,
}

impl Event {
    /// An event; `name` is its kind, in lower case.
    pub(crate) const fn new(level: Level, name: &'static str) -> Self {
        Self { level, name, fields: Vec::new() }
    }

    /// With one more field.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// With one more field, if there is a value.
    pub(crate) fn with_some(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The line, with its end.
    fn line(&self, format: Format, at: SystemTime) -> String {
        let mut line = String::with_capacity(160);
        match format {
            Format::Json => {
                let _ = write!(line, r#"{{"time":"{}","level":"{}","event":"#, Utc(at), self.level.name());
                json_string(&mut line, self.name);
                for (name, value) in &self.fields {
                    line.push(',');
                    json_string(&mut line, name);
                    line.push(':');
                    match value {
                        Value::Bool(value) => line.push_str(if *value { "true" } else { "false" }),
                        Value::Number(value) => line.push_str(&value.to_string()),
                        Value::Text(value) => json_string(&mut line, value),
                    }
                }
                line.push('}');
            }
            Format::Text => {
                let _ = write!(line, "{} {:5} {}", Utc(at), self.level.name(), self.name);
                for (name, value) in &self.fields {
                    let _ = match value {
                        Value::Bool(value) => write!(line, " {name}={value}"),
                        Value::Number(value) => write!(line, " {name}={value}"),
                        Value::Text(value) if is_plain(value) => write!(line, " {name}={value}"),
                        // Quoted with escapes: nobody can forge a line, or move a terminal's cursor.
                        Value::Text(value) => write!(line, " {name}={value:?}"),
                    };
                }
            }
        }
        line.push('\n');
        line
    }
}

/// Whether a value reads unambiguously without quotes.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
}

/// Appends a JSON string (RFC 8259 §7).
fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A time as RFC 3339 writes it, in UTC, to the millisecond.
struct Utc(SystemTime);

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // Years that begin in March: leap days come last, and months have a regular pattern of lengths.
        let days = days + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let millis = since.subsec_millis();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// What the thread that writes is sent.
enum Message {
    /// Say on this channel that everything before it is written.
    Flush(SyncSender<()>),
    Line(String),
}

/// Where events go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Logger {
    level: Level,
    format: Format,
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl std::fmt::Debug for Logger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        // Without a thread (a system at its limit) every line is dropped: logging is no reason not to serve.
        let _ = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(out, &lines, &count, format));
        Self { level, format, queue, dropped }
    }

    /// Whether events of this level are logged.
    pub(crate) fn is_enabled(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Logs an event, if its level is logged. Never waits.
    pub(crate) fn log(&self, event: &Event) {
        if self.is_enabled(event.level) {
            let line = event.line(self.format, SystemTime::now());
            if self.queue.try_send(Message::Line(line)).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until everything is written, but not for ever.
    pub(crate) fn flush(&self) {
        let (done, is_done) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            match is_done.recv_timeout(FLUSH) {
                Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

fn write_lines(mut out: impl Write, lines: &Receiver<Message>, dropped: &AtomicU64, format: Format) {
    while let Ok(message) = lines.recv() {
        let line = match message {
            Message::Line(line) => line,
            Message::Flush(done) => {
                let _ = out.flush();
                let _ = done.send(());
                continue;
            }
        };
        // One write a line: lines of several processes on one pipe do not mix. A closed stderr is nobody's fault.
        let _ = out.write_all(line.as_bytes());
        let missed = dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            let event = Event::new(Level::Warn, "log-lines-dropped").with("count", missed);
            let _ = out.write_all(event.line(format, SystemTime::now()).as_bytes());
        }
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
