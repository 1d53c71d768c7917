//! Log lines on stderr, as text or as JSON, one event a line.
//!
//! What a peer chose is hostile here, too: it is cut ([`PEER_TEXT`]) and escaped, so that it can neither forge a line nor make a
//! large one of a small frame.

mod queue;
mod rate;

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use queue::Logger;
pub(crate) use rate::Rate;

/// Bytes of a text of a peer that a line shows. The rest is cut off, and the line says how long the text was. With three such
/// texts of bytes that take five characters each in JSON, a line stays below 4 KiB.
pub(crate) const PEER_TEXT: usize = 256;

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
    Peer(PeerText),
    Text(String),
}

/// What a peer chose, as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PeerText {
    /// The first [`PEER_TEXT`] bytes in ASCII, with escapes for all else (`\xNN`), for quotes and for backslashes.
    shown: String,
    /// Bytes that there were, if that is more.
    cut_from: Option<u64>,
}

impl PeerText {
    fn new(bytes: &[u8]) -> Self {
        let shown = bytes.get(..PEER_TEXT).unwrap_or(bytes).escape_ascii().to_string();
        let cut_from = (bytes.len() > PEER_TEXT).then_some(bytes.len() as u64);
        Self { shown, cut_from }
    }
}

impl Value {
    /// Bytes that there were, if not all of them are shown.
    const fn cut_from(&self) -> Option<u64> {
        match self {
            Self::Peer(text) => text.cut_from,
            Self::Bool(_) | Self::Number(_) | Self::Text(_) => None,
        }
    }
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

    /// With one more field, if there is a value, that a peer chose. If it is cut, a field `NAME_bytes` says how long it was.
    pub(crate) fn with_peer_text(mut self, name: &'static str, bytes: Option<&[u8]>) -> Self {
        self.fields.extend(bytes.map(|bytes| (name, Value::Peer(PeerText::new(bytes)))));
        self
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
                        Value::Peer(text) => json_string(&mut line, &text.shown),
                        Value::Text(value) => json_string(&mut line, value),
                    }
                    if let Some(bytes) = value.cut_from() {
                        let _ = write!(line, r#","{name}_bytes":{bytes}"#);
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
                        Value::Peer(PeerText { shown: value, .. }) | Value::Text(value)
                            if is_plain(value) =>
                        {
                            write!(line, " {name}={value}")
                        }
                        // Quoted with escapes: nobody can forge a line, or move a terminal's cursor.
                        Value::Peer(text) => write!(line, " {name}=\"{}\"", text.shown),
                        Value::Text(value) => write!(line, " {name}={value:?}"),
                    };
                    if let Some(bytes) = value.cut_from() {
                        let _ = write!(line, " {name}_bytes={bytes}");
                    }
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

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
