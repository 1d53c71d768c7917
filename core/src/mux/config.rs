//! Deadlines and bounds of one connection, with their defaults and the reasons for them.

use std::time::Duration;

use super::Greeting;
use crate::facts::Bounds;

/// Deadlines and bounds of one connection. Start from [`Config::default`] and change what you need:
///
/// A duration that no clock reaches, such as [`Duration::MAX`](std::time::Duration::MAX), means that there is no deadline.
///
/// ```
/// use std::time::Duration;
///
/// let mut config = oneport_core::Config::default();
/// config.opening_deadline = Duration::from_secs(3);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What a waiting HTTP/2 client is told. See [`Greeting`].
    pub greeting: Greeting,
    /// Whether HTTP/2 connections are given to a [`SplitMachine`](crate::split::SplitMachine), which routes each request on its
    /// own, as soon as the preface has come ([`Output::Split`](crate::Output::Split)). Default `false`: the first request decides
    /// for the whole connection.
    pub per_request: bool,
    /// Whether everything that the bytes so far show is looked at before a verdict, be it asked for by a route or not. Default `false`: an
    /// opening is looked at no closer than its verdict needs, and what was not looked at stays unknown in the [`Facts`](crate::Facts)
    /// that a backend gets. Set it if they are used after the verdict: for logs, for authentication, for metrics by SNI or host. No verdict,
    /// word or byte of the replay depends on it; a verdict costs up to three times as much.
    pub complete_facts: bool,

    /// How long a client may be connected without a byte; then it is closed silently. Default 75 s: pools open connections ahead
    /// of need, and grpc-dotnet keeps them for 60 s (Envoy's listener filters: 15 s; linkerd: 10 s; grpc-go: 120 s).
    pub silent_deadline: Duration,
    /// How long an opening that is not HTTP/2 may take from its first byte, however it trickles in. Default 10 s (nginx 60 s for
    /// a head, Go has no default, linkerd 10 s, Envoy 15 s).
    pub opening_deadline: Duration,
    /// How long an HTTP/2 client may take from the end of its preface to the end of its SETTINGS. Default 5 s; they come in one
    /// segment (x/net: 2 s).
    pub http2_settings_deadline: Duration,
    /// How long an HTTP/2 client must have been silent after its SETTINGS before it is greeted. Every gRPC connection pays this
    /// once. Default 5 ms: `docs/patience.md` of the repository has the measurement. 0 is allowed.
    pub settings_patience: Duration,
    /// How long an HTTP/2 client may be without a request. Default 35 min: an idle gRPC channel is no attack, and clients
    /// leave by themselves after 30 min.
    pub http2_idle_deadline: Duration,
    /// How long the header block of an HTTP/2 request may take from its first byte. Default 10 s.
    pub http2_headers_deadline: Duration,
    /// How long a client that is refused may take to finish the request that it is to be answered on. Default 5 s.
    pub refusal_deadline: Duration,

    /// Bytes of an HTTP/1 head. Default 64 KiB (nginx 8 KiB a line, Node 16 KiB, Go 1 MiB, Envoy 60 KiB).
    pub max_http1_head: usize,
    /// Bytes of a TLS ClientHello with its record heads. Default 64 KiB (rustls the same; OpenSSL 128 KiB).
    pub max_client_hello: usize,
    /// Bytes of an opening that matchers of raw bytes see ([`prefix`](crate::matchers::prefix),
    /// [`prefix_fn`](crate::matchers::prefix_fn)); what they still need behind them is no match. Default 4 KiB.
    pub max_prefix: usize,
    /// HTTP/2 frames in front of the first HEADERS that stay in the replay. Default 16 (nghttp sends 6).
    pub max_frames: u32,
    /// HTTP/2 SETTINGS of the client before its first request. Default 2: some clients send an empty one first.
    pub max_settings: u32,
    /// Entries of each of them. Default 64 (nghttp2 32, x/net 100).
    pub max_settings_entries: u32,
    /// Bytes of payload of an HTTP/2 frame. Default 16,384, the most that RFC 9113 §4.2 allows a client that was told nothing.
    pub max_frame_size: u32,
    /// Bytes of the first header block, still compressed. Default 64 KiB.
    pub max_header_block: usize,
    /// CONTINUATION frames of the first header block; empty ones count. Default 8 (nghttp2 8, Envoy 512).
    pub max_continuations: u32,
    /// Size of the first header list as RFC 9113 §6.5.2 counts it. Default 64 KiB (nghttp2 64 KiB, hyper 16 KiB, x/net 1 MiB).
    pub max_header_list: usize,
    /// PINGs that a greeted client may send at once; beyond it GOAWAY. Default 8.
    pub ping_burst: u32,
    /// How soon after that one more is allowed. Default 1 s.
    pub ping_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            greeting: Greeting::default(),
            per_request: false,
            complete_facts: false,
            silent_deadline: Duration::from_secs(75),
            opening_deadline: Duration::from_secs(10),
            http2_settings_deadline: Duration::from_secs(5),
            settings_patience: Duration::from_millis(5),
            http2_idle_deadline: Duration::from_secs(35 * 60),
            http2_headers_deadline: Duration::from_secs(10),
            refusal_deadline: Duration::from_secs(5),
            max_http1_head: 64 * 1024,
            max_client_hello: 64 * 1024,
            max_prefix: 4 * 1024,
            max_frames: 16,
            max_settings: 2,
            max_settings_entries: 64,
            max_frame_size: 16_384,
            max_header_block: 64 * 1024,
            max_continuations: 8,
            max_header_list: 64 * 1024,
            ping_burst: 8,
            ping_interval: Duration::from_secs(1),
        }
    }
}

impl Config {
    pub(crate) const fn bounds(&self) -> Bounds {
        Bounds {
            client_hello: self.max_client_hello,
            continuations: self.max_continuations,
            frame_size: self.max_frame_size,
            frames: self.max_frames,
            header_block: self.max_header_block,
            header_list: self.max_header_list,
            http1_head: self.max_http1_head,
            settings: self.max_settings,
            settings_entries: self.max_settings_entries,
        }
    }
}
