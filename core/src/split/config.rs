//! Windows, bounds, rates and deadlines of one split connection, with their defaults and the reasons for them.

use std::time::Duration;

use super::bucket::Rate;
use super::report::RequestObserver;

/// Windows, bounds, rates and deadlines of one split connection. Start from [`SplitConfig::default`] and change what you
/// need.
///
/// Memory of one connection is bounded by about `max_concurrent_streams` × 2 × `stream_window` (uploads that no backend
/// reads), `backend_connection_window` for each backend (downloads that the client does not read), `max_replay_total`,
/// `max_held_fields` and `max_concurrent_streams` × 4 × 4 KiB of small trailers, and for each side two batches (one of them
/// being written) of twice `output_mark` and one header list, one frame and one read. Payload is counted by its length: what is
/// cut out of reads keeps them alive, at worst eight times as much, if the client cuts its reads so.
///
/// A duration that no clock reaches, such as [`Duration::MAX`], means that there is no deadline.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SplitConfig {
    /// Who hears of each request. Default nobody.
    pub on_request: Option<RequestObserver>,
    /// Whether clients are told that they may use extended CONNECT (RFC 8441 §3). A request that does and leads to a backend
    /// that did not say so is answered 501. Default `false`.
    pub extended_connect: bool,
    /// Requests that a client may have open at a time; more are refused with REFUSED_STREAM. Default 100 (nginx 128,
    /// Envoy's advice for the edge 100, x/net 250). Also the most that are opened on a backend that sets no limit.
    pub max_concurrent_streams: u32,
    /// Bytes of one stream and direction that are held while the far side does not take them, and so the window that its
    /// sender is given. Default 65,535, the protocol's own.
    pub stream_window: u32,
    /// Bytes that a client may send ahead on all streams together, at least 65,535. It is given back on receipt, so that a
    /// backend that does not read never stops the others. Default 1 MiB.
    pub client_connection_window: u32,
    /// Bytes that one backend may send ahead on all streams together, at least 65,535. It is given back as they leave for
    /// the client. Default 1 MiB.
    pub backend_connection_window: u32,

    /// Bytes of one header block, still compressed. Default 64 KiB.
    pub max_header_block: usize,
    /// CONTINUATION frames of one header block; empty ones count. Default 8 (nghttp2 8, Envoy 512).
    pub max_continuations: u32,
    /// Size of one header list as RFC 9113 §6.5.2 counts it, said as SETTINGS_MAX_HEADER_LIST_SIZE. A larger request is
    /// answered 431, one of more than four times this ends the connection. Default 64 KiB (nghttp2 64 KiB, hyper 16 KiB).
    pub max_header_list: usize,
    /// Bytes of all heads of requests that are held: those that wait for a backend, and those that might have to be sent
    /// again. A request beyond it is refused with REFUSED_STREAM. Trailers that wait behind their bodies count as well, but
    /// those of at most 4 KiB are held in any case, and larger ones beyond it are reset. Default 1 MiB.
    pub max_held_fields: usize,
    /// The largest table that is kept for compressing towards a peer, whatever it allows; 0 is none. Default 4,096, which is also
    /// what a peer allows that says nothing of it.
    pub max_encoder_table: usize,
    /// Interim responses (1xx) of one response. Default 32. Their header lists together are no larger than `max_header_list`;
    /// a backend that says more gets its stream reset, and the request is answered 502.
    pub max_informational: u32,

    /// Bytes of a request's body that are kept after they were sent, in case the backend says that it did not process the
    /// request. Default 64 KiB.
    pub max_replay: usize,
    /// The same for all requests together. Default 1 MiB.
    pub max_replay_total: usize,
    /// How often a request that was not processed is sent on another connection. Default 16: nginx with
    /// `keepalive_requests 10` takes ten of a hundred requests on each connection.
    pub max_retries: u8,

    /// Bytes of DATA of one stream before it is another stream's turn; 0 is taken for 1. Default 16,384.
    pub quantum: usize,
    /// Bytes from which a batch for one side is full. Default 64 KiB.
    pub write_batch: usize,
    /// Bytes that wait to be written to one side, at which input of the other sides that would add to them is no longer processed;
    /// the side's own input stops at twice as many. Backends take turns to fill the client's. Default 64 KiB.
    pub output_mark: usize,
    /// Streams reset by the machine whose late frames are still known to be late, not wrong; at least twice
    /// [`max_concurrent_streams`](Self::max_concurrent_streams), up to 16,384, whatever is set here. Default 256.
    pub remembered_resets: usize,

    /// Streams that a client resets or opens in excess (CVE-2023-44487); beyond it GOAWAY. Default 1,000 and 100 a second
    /// (nghttp2 1,000 and 33; netty 200 in 30 s).
    pub resets: Rate,
    /// Streams that the machine has to reset for what a client did, to it or only to their backend (CVE-2025-8671); beyond it GOAWAY. Default 1,000 and 100 a second
    /// (h2 1,024; nghttp2 10,000 and 330).
    pub own_resets: Rate,
    /// Frames that carry nothing: PING, PRIORITY, WINDOW_UPDATE, empty or unknown ones cost 1, SETTINGS 20; DATA in either
    /// direction and requests earn some back, at most four bursts ahead, so that only their excess counts. A client beyond it
    /// gets GOAWAY, a backend loses its connection. Default 10,000 and 1,000 a
    /// second (x/net, nghttp2 and netty queue 10,000 and 1,000).
    pub idle_frames: Rate,

    /// How long the preface and SETTINGS of a client may take. Default 5 s.
    pub opening_deadline: Duration,
    /// How long a header block may take from its first frame. Default 10 s.
    pub headers_deadline: Duration,
    /// How long a client may be without a request. Default 35 min: gRPC clients leave at 30.
    pub idle_deadline: Duration,
    /// How long a batch (`write_batch` or a little more) may take to be written in full: progress in part does not renew it.
    /// Default 30 s.
    pub write_deadline: Duration,
    /// How long a response may wait for a client that grants no window, and a request for its turn at a backend that takes no more.
    /// Default 5 min (Envoy's stream idle timeout).
    pub stall_deadline: Duration,
    /// How long a backend may take to be connected and to say its SETTINGS. Default 5 s.
    ///
    /// This and the other deadlines for what a backend says stand still while what it has said waits for a client that does not read,
    /// and begin anew behind that.
    pub connect_deadline: Duration,
    /// How long a backend with requests may be silent before it is asked by a PING whether it lives. Default 6 min: servers of gRPC
    /// take PINGs that come more often than every 5 min for abuse, and end the connection.
    pub keepalive_after: Duration,
    /// How long it may be silent after that. Default 10 s.
    pub keepalive_timeout: Duration,
    /// How long a draining client may go on sending requests before the last one is fixed, unless it answers the PING that
    /// goes with the first GOAWAY (RFC 9113 §6.8). Default 1 s.
    pub drain_grace: Duration,
    /// How long a drain may take. Default 8 s: Cloud Run kills at 10.
    pub drain_deadline: Duration,
    /// How long the last words to a client may take. Default 1 s.
    pub linger_deadline: Duration,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self {
            on_request: None,
            extended_connect: false,
            max_concurrent_streams: 100,
            stream_window: 65_535,
            client_connection_window: 1 << 20,
            backend_connection_window: 1 << 20,
            max_header_block: 64 * 1024,
            max_continuations: 8,
            max_header_list: 64 * 1024,
            max_held_fields: 1 << 20,
            max_encoder_table: 4_096,
            max_informational: 32,
            max_replay: 64 * 1024,
            max_replay_total: 1 << 20,
            max_retries: 16,
            quantum: 16_384,
            write_batch: 64 * 1024,
            output_mark: 64 * 1024,
            remembered_resets: 256,
            resets: Rate::new(1_000, 100),
            own_resets: Rate::new(1_000, 100),
            idle_frames: Rate::new(10_000, 1_000),
            opening_deadline: Duration::from_secs(5),
            headers_deadline: Duration::from_secs(10),
            idle_deadline: Duration::from_secs(35 * 60),
            write_deadline: Duration::from_secs(30),
            stall_deadline: Duration::from_secs(5 * 60),
            connect_deadline: Duration::from_secs(5),
            keepalive_after: Duration::from_secs(6 * 60),
            keepalive_timeout: Duration::from_secs(10),
            drain_grace: Duration::from_secs(1),
            drain_deadline: Duration::from_secs(8),
            linger_deadline: Duration::from_secs(1),
        }
    }
}
