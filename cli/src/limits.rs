//! Every deadline and bound as one table: what the command line, the configuration file, `check` and the help know of them.

use std::time::Duration;

use oneport_core::split::SplitConfig;
use oneport_core::wire::settings::SettingId;
use oneport_core::Config;

use crate::units::{parse_count, parse_duration, parse_size, show_duration, show_size};

/// Deadlines and bounds of a listener and of each of its connections.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Those of one undecided connection.
    pub(crate) mux: Config,
    /// Those of one HTTP/2 connection whose requests are routed one by one.
    pub(crate) split: SplitConfig,
    /// How long a connection with a verdict may wait for its backend, over all the backend's addresses.
    pub(crate) delivery_deadline: Duration,
    /// How long a refused connection's input is discarded, so that its last words arrive.
    pub(crate) linger_deadline: Duration,
    /// How much of a refused connection's input is discarded, in bytes.
    pub(crate) max_linger: usize,
    /// Undecided connections of a listener, those that are greeted and idle apart.
    pub(crate) max_undecided: usize,
    /// HTTP/2 connections of a listener that are greeted and have no request yet.
    pub(crate) max_idle: usize,
    /// HTTP/2 connections of a listener whose requests are routed one by one.
    pub(crate) max_split: usize,
    /// Bytes of a listener's openings in all.
    pub(crate) max_opening_bytes: usize,
    /// Connections that wait for the backend of one route.
    pub(crate) max_undelivered: usize,
    /// Refusals of a listener in progress.
    pub(crate) max_refusals: usize,
}

impl Limits {
    /// Those of the listener as the adapter knows them.
    pub(crate) fn listener(&self) -> oneport::Limits {
        let mut limits = oneport::Limits::default();
        limits.undecided = self.max_undecided;
        limits.idle = self.max_idle;
        limits.split = self.max_split;
        limits.opening_bytes = self.max_opening_bytes;
        limits.backlog = self.max_undelivered;
        limits.delivery_deadline = self.delivery_deadline;
        limits.refusals = self.max_refusals;
        limits.linger = self.linger_deadline;
        limits.linger_bytes = self.max_linger;
        limits
    }

    /// Those of per-request routing. What it has in common with connection routing has one option for both.
    pub(crate) fn split(&self, drain: Duration) -> SplitConfig {
        let mut split = self.split.clone();
        split.opening_deadline = self.mux.http2_settings_deadline;
        split.headers_deadline = self.mux.http2_headers_deadline;
        split.idle_deadline = self.mux.http2_idle_deadline;
        split.connect_deadline = self.delivery_deadline;
        split.linger_deadline = self.linger_deadline;
        split.drain_deadline = drain;
        split.max_header_block = self.mux.max_header_block;
        split.max_continuations = self.mux.max_continuations;
        split.max_header_list = self.mux.max_header_list;
        // The one word of a greeting that has no option of its own.
        split.extended_connect = self.mux.greeting.value_of(SettingId::ENABLE_CONNECT_PROTOCOL) == Some(1);
        split
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mux: Config::default(),
            split: SplitConfig::default(),
            delivery_deadline: Duration::from_secs(5),
            linger_deadline: Duration::from_secs(1),
            max_linger: 64 * 1024,
            max_undecided: 1_024,
            max_idle: 16_384,
            max_split: 16_384,
            max_opening_bytes: 32 * 1024 * 1024,
            max_undelivered: 1_024,
            max_refusals: 256,
        }
    }
}

/// The value of a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd)]
pub(crate) enum Value {
    Count(u64),
    Duration(Duration),
    /// In bytes.
    Size(u64),
}

impl Value {
    /// Reads a value of the same kind.
    fn parse_like(self, text: &str) -> Result<Self, String> {
        match self {
            Self::Count(_) => parse_count(text).map(Self::Count),
            Self::Duration(_) => parse_duration(text).map(Self::Duration),
            Self::Size(_) => parse_size(text).map(Self::Size),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Count(count) => count.fmt(f),
            Self::Duration(duration) => f.write_str(&show_duration(duration)),
            Self::Size(size) => f.write_str(&show_size(size)),
        }
    }
}

/// Where a limit stands in the help.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Group {
    /// Of an opening.
    Bound,
    Deadline,
    /// Of a listener as a whole.
    Listener,
    /// With `--per-request`.
    PerRequest,
}

impl Group {
    pub(crate) const fn heading(self) -> &'static str {
        match self {
            Self::Bound => "Bounds of an opening",
            Self::Deadline => "Deadlines",
            Self::Listener => "Bounds of a listener",
            Self::PerRequest => "With --per-request",
        }
    }
}

/// A deadline or a bound: `--NAME` on the command line; in `[limits]` of the configuration the same with `_` for `-`.
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    pub(crate) help: &'static str,
    least: Value,
    most: Value,
    pub(crate) get: fn(&Limits) -> Value,
    set: fn(&mut Limits, Value),
}

impl Limit {
    /// Reads a value of this limit.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(&self, text: &str) -> Result<Value, String> {
        let value = self.least.parse_like(text)?;
        if value < self.least || value > self.most {
            return Err(format!(
                "`{text}` is out of bounds; it must be between {} and {}",
                self.least, self.most
            ));
        }
        Ok(value)
    }

    pub(crate) fn set(&self, limits: &mut Limits, value: Value) {
        (self.set)(limits, value);
    }

    /// What the help calls its value.
    pub(crate) const fn value_name(&self) -> &'static str {
        match self.least {
            Value::Count(_) => "COUNT",
            Value::Duration(_) => "DURATION",
            Value::Size(_) => "SIZE",
        }
    }
}

/// Far beyond any use, and near enough that no sum of times overflows.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3_600);
const MIN_DURATION: Duration = Duration::from_millis(1);
const MAX_COUNT: u64 = 1 << 24;
const MAX_SIZE: u64 = 1 << 30;

macro_rules! limit {
    ($group:ident, $name:literal, Duration($least:expr), $($field:ident).+, $help:literal) => {
        Limit {
            name: $name,
            group: Group::$group,
            help: $help,
            least: Value::Duration($least),
            most: Value::Duration(MAX_DURATION),
            get: |limits| Value::Duration(limits.$($field).+),
            set: |limits, value| if let Value::Duration(value) = value { limits.$($field).+ = value },
        }
    };
    ($group:ident, $name:literal, $kind:ident($least:expr, $most:expr), $($field:ident).+, $help:literal) => {
        Limit {
            name: $name,
            group: Group::$group,
            help: $help,
            least: Value::$kind($least),
            most: Value::$kind($most),
            // `usize` and `u32` on the other side; no bound of the table is beyond `u32`.
            get: |limits| Value::$kind(limits.$($field).+ as u64),
            set: |limits, value| if let Value::$kind(value) = value { limits.$($field).+ = value as _ },
        }
    };
}

/// All of them, in the order of the help. The reasons for the defaults are in `docs/command.md`.
pub(crate) static LIMITS: [Limit; 35] = [
    limit!(
        Deadline,
        "silent-deadline",
        Duration(MIN_DURATION),
        mux.silent_deadline,
        "How long a client may be connected without a byte; then it is closed without a word"
    ),
    limit!(
        Deadline,
        "opening-deadline",
        Duration(MIN_DURATION),
        mux.opening_deadline,
        "How long an opening that is not HTTP/2 may take from its first byte"
    ),
    limit!(
        Deadline,
        "http2-settings-deadline",
        Duration(MIN_DURATION),
        mux.http2_settings_deadline,
        "How long an HTTP/2 client may take from its preface to the end of its SETTINGS"
    ),
    limit!(
        Deadline,
        "settings-patience",
        Duration(Duration::ZERO),
        mux.settings_patience,
        "How long an HTTP/2 client is silent after its SETTINGS before it is greeted"
    ),
    limit!(
        Deadline,
        "http2-idle-deadline",
        Duration(MIN_DURATION),
        mux.http2_idle_deadline,
        "How long an HTTP/2 client may be without a request"
    ),
    limit!(
        Deadline,
        "http2-headers-deadline",
        Duration(MIN_DURATION),
        mux.http2_headers_deadline,
        "How long the headers of the first HTTP/2 request may take"
    ),
    limit!(
        Deadline,
        "refusal-deadline",
        Duration(MIN_DURATION),
        mux.refusal_deadline,
        "How long a client that is refused may take to finish the request that it is answered on"
    ),
    limit!(
        Deadline,
        "delivery-deadline",
        Duration(MIN_DURATION),
        delivery_deadline,
        "How long a decided connection may wait for its backend, over all its addresses"
    ),
    limit!(
        Deadline,
        "linger-deadline",
        Duration(MIN_DURATION),
        linger_deadline,
        "How long input is discarded behind a refusal, so that it arrives"
    ),
    limit!(
        Deadline,
        "ping-interval",
        Duration(MIN_DURATION),
        mux.ping_interval,
        "How soon behind the burst a greeted client may send one more PING"
    ),
    limit!(Bound, "max-http1-head", Size(64, MAX_SIZE), mux.max_http1_head, "Size of an HTTP/1 head"),
    limit!(
        Bound,
        "max-client-hello",
        Size(64, MAX_SIZE),
        mux.max_client_hello,
        "Size of a TLS ClientHello with its record heads"
    ),
    limit!(
        Bound,
        "max-prefix",
        Size(1, MAX_SIZE),
        mux.max_prefix,
        "How much of an opening the terms ssh, postgres, socks5 and prefix see"
    ),
    limit!(
        Bound,
        "max-frames",
        Count(1, MAX_COUNT),
        mux.max_frames,
        "HTTP/2 frames in front of the first request"
    ),
    limit!(
        Bound,
        "max-settings",
        Count(1, MAX_COUNT),
        mux.max_settings,
        "SETTINGS frames in front of the first request"
    ),
    limit!(
        Bound,
        "max-settings-entries",
        Count(0, MAX_COUNT),
        mux.max_settings_entries,
        "Entries of each of these SETTINGS"
    ),
    limit!(
        Bound,
        "max-frame-size",
        Size(1, (1 << 24) - 1),
        mux.max_frame_size,
        "Payload of an HTTP/2 frame of the opening"
    ),
    limit!(
        Bound,
        "max-header-block",
        Size(1, MAX_SIZE),
        mux.max_header_block,
        "Headers of the first HTTP/2 request, compressed"
    ),
    limit!(
        Bound,
        "max-continuations",
        Count(0, MAX_COUNT),
        mux.max_continuations,
        "CONTINUATION frames of these headers"
    ),
    limit!(
        Bound,
        "max-header-list",
        Size(1, MAX_SIZE),
        mux.max_header_list,
        "Headers of the first HTTP/2 request, decoded (RFC 9113, 6.5.2)"
    ),
    limit!(
        Bound,
        "ping-burst",
        Count(0, MAX_COUNT),
        mux.ping_burst,
        "PINGs that a greeted client may send at once"
    ),
    limit!(
        Bound,
        "max-linger",
        Size(0, MAX_SIZE),
        max_linger,
        "How much input is discarded behind a refusal"
    ),
    limit!(
        Listener,
        "max-undecided",
        Count(1, MAX_COUNT),
        max_undecided,
        "Undecided connections, those that are greeted and idle apart"
    ),
    limit!(
        Listener,
        "max-idle",
        Count(1, MAX_COUNT),
        max_idle,
        "HTTP/2 connections that are greeted and have no request yet"
    ),
    limit!(
        Listener,
        "max-opening-bytes",
        Size(64 * 1024, MAX_SIZE),
        max_opening_bytes,
        "Memory for all openings together"
    ),
    limit!(
        Listener,
        "max-undelivered",
        Count(1, MAX_COUNT),
        max_undelivered,
        "Connections that wait for the backend of one route"
    ),
    limit!(Listener, "max-refusals", Count(1, MAX_COUNT), max_refusals, "Refusals in progress"),
    limit!(
        PerRequest,
        "max-split",
        Count(1, MAX_COUNT),
        max_split,
        "HTTP/2 connections of a listener; beyond it the longest idle one is told to go elsewhere"
    ),
    limit!(
        PerRequest,
        "max-concurrent-streams",
        Count(1, MAX_COUNT),
        split.max_concurrent_streams,
        "Requests that a client may have open at a time"
    ),
    limit!(
        PerRequest,
        "stream-window",
        Size(1, 0x7FFF_FFFF),
        split.stream_window,
        "What is held of one request or response that the far side does not take"
    ),
    limit!(
        PerRequest,
        "client-connection-window",
        Size(65_535, 0x7FFF_FFFF),
        split.client_connection_window,
        "What a client may send ahead on all requests together"
    ),
    limit!(
        PerRequest,
        "backend-connection-window",
        Size(65_535, 0x7FFF_FFFF),
        split.backend_connection_window,
        "What a backend may send ahead on all responses to one client together"
    ),
    limit!(
        PerRequest,
        "write-deadline",
        Duration(MIN_DURATION),
        split.write_deadline,
        "How long writing one batch of output to a peer may take"
    ),
    limit!(
        PerRequest,
        "stall-deadline",
        Duration(MIN_DURATION),
        split.stall_deadline,
        "How long a response may wait for a client that grants no window"
    ),
    limit!(
        PerRequest,
        "keepalive-after",
        Duration(MIN_DURATION),
        split.keepalive_after,
        "How long a backend with requests may be silent before it is asked by a PING"
    ),
];

/// The limit of this name.
#[cfg(test)]
pub(crate) fn find(name: &str) -> Option<&'static Limit> {
    LIMITS.iter().find(|limit| limit.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_reads_back_its_default_and_sets_its_own_field_only() {
        for limit in &LIMITS {
            let default = (limit.get)(&Limits::default());
            assert_eq!(limit.parse(&default.to_string()), Ok(default), "{}", limit.name);
            let other = limit.least;
            assert_ne!(other, default, "{}", limit.name);
            let mut limits = Limits::default();
            limit.set(&mut limits, other);
            for (i, each) in LIMITS.iter().enumerate() {
                let expected = if each.name == limit.name { other } else { (each.get)(&Limits::default()) };
                assert_eq!((each.get)(&limits), expected, "{} after {}", each.name, limit.name);
                assert!(!LIMITS[..i].iter().any(|earlier| earlier.name == each.name), "{} twice", each.name);
            }
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        for (name, shown) in [
            ("silent-deadline", "75s"),
            ("opening-deadline", "10s"),
            ("http2-settings-deadline", "5s"),
            ("http2-idle-deadline", "35m"),
            ("http2-headers-deadline", "10s"),
            ("delivery-deadline", "5s"),
            ("linger-deadline", "1s"),
            ("max-http1-head", "64KiB"),
            ("max-prefix", "4KiB"),
            ("max-frames", "16"),
            ("max-frame-size", "16KiB"),
            ("max-undecided", "1024"),
            ("max-idle", "16384"),
            ("max-opening-bytes", "32MiB"),
            ("max-undelivered", "1024"),
        ] {
            let limit = find(name).unwrap_or_else(|| panic!("no limit {name}"));
            assert_eq!((limit.get)(&Limits::default()).to_string(), shown, "{name}");
        }
    }

    #[test]
    fn values_that_would_break_something_are_refused() {
        for (name, text, part) in [
            ("silent-deadline", "0", "between 1ms and 365d"),
            ("silent-deadline", "366d", "out of bounds"),
            ("max-frames", "0", "between 1 and 16777216"),
            ("max-http1-head", "2GiB", "between 64 and 1GiB"),
            ("max-http1-head", "10s", "no unit of size"),
            ("max-frames", "1KiB", "no whole number"),
        ] {
            let error = find(name).unwrap().parse(text).unwrap_err();
            assert!(error.contains(part), "{name}: {error}");
        }
        assert!(find("settings-patience").unwrap().parse("0").is_ok());
    }
}
