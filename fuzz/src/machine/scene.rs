//! The tables and bounds that an input may choose from.

use core::time::Duration;
use std::sync::Arc;

use oneport_core::matchers as m;
use oneport_core::wire::frame::{HEAD_LEN, PREFACE};
use oneport_core::{Config, Matcher, Reason, Routes, Verdict};

type Target = &'static str;

/// Route tables: each kind of matcher once, in the company that makes it interesting.
pub(super) fn routes(choice: u8) -> Arc<Routes<Target>> {
    let table = Routes::new();
    Arc::new(match choice % 10 {
        0 => table.route(m::grpc(), "grpc").otherwise("rest"),
        1 => table.route(m::any(), "all"),
        2 => table
            .route(m::tls(), "tls")
            .route(m::ssh(), "ssh")
            .route(m::http1(), "http1")
            .route(m::http2(), "http2")
            .on_timeout("late"),
        3 => table
            .route(m::sni("*.example"), "sni")
            .route(m::alpn("h2"), "alpn")
            .route(m::tls_version(m::TlsVersion::Tls13), "tls13"),
        4 => table
            .route(m::header("x-tenant", m::is("blue")), "blue")
            .route(m::header("accept", m::contains_token("text/html")), "html")
            .route(m::header("user-agent", m::starts_with("curl")), "curl")
            .route(m::path_prefix("/api"), "api"),
        5 => table
            .route(m::websocket(), "websocket")
            .route(m::h2c_upgrade(), "upgrade")
            .route(m::grpc_web(), "grpc-web")
            .route(m::all([m::method("POST"), m::authority("a.example")]), "post")
            .route(m::path("/"), "root"),
        6 => table
            .route(m::postgres(), "postgres")
            .route(m::socks5(), "socks5")
            .route(m::prefix(*b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"), "raw")
            .route(m::http1_method(), "method")
            .server_first("mysql", Duration::from_millis(500)),
        7 => table
            .route(m::all([!m::http(), m::not(m::tls())]), "neither")
            .route(m::grpc_service("grpc.health.v1.Health"), "health")
            .route(m::any_of([m::header("te", m::present()), m::sni("b.example")]), "either")
            .otherwise("rest"),
        8 => table
            .route(raw_far_behind(), "raw")
            .route(
                m::facts_fn(|facts| match facts.request().present() {
                    Some(request) if request.path() == Some(b"/x") => Verdict::Match,
                    Some(_) => Verdict::NoMatch,
                    None if facts.request().is_unknown() => Verdict::NeedMore,
                    None => Verdict::NoMatch,
                }),
                "x",
            )
            .otherwise("rest"),
        _ => table,
    })
}

/// A raw matcher that wants more than the opening of most protocols.
fn raw_far_behind() -> Matcher {
    m::prefix_fn(|bytes| match bytes.get(60) {
        Some(0x42) => Verdict::Match,
        Some(_) => Verdict::NoMatch,
        None => Verdict::NeedMore,
    })
}

/// The defaults, bounds that short inputs reach, and an impatient mux.
pub(super) fn config(choice: u8) -> Arc<Config> {
    let mut config = Config::default();
    match choice % 3 {
        0 => {}
        1 => {
            config.max_http1_head = 200;
            config.max_client_hello = 200;
            config.max_prefix = 40;
            config.max_frames = 3;
            config.max_settings = 1;
            config.max_settings_entries = 4;
            config.max_frame_size = 100;
            config.max_header_block = 150;
            config.max_continuations = 2;
            config.max_header_list = 400;
            config.ping_burst = 2;
        }
        _ => {
            config.settings_patience = Duration::ZERO;
            config.ping_burst = 1;
            config.ping_interval = Duration::ZERO;
        }
    }
    Arc::new(config)
}

/// Bytes of memory that an undecided connection may hold when no read brought more than `piece` bytes: what its largest protocol may
/// need, twice for buffers that grow by doubling, and twice for what parsers keep of it beside the opening.
pub(super) const fn most_held(config: &Config, piece: usize) -> usize {
    let frame = HEAD_LEN + config.max_frame_size as usize;
    let block = config.max_header_block + frame + (config.max_continuations as usize + 1) * HEAD_LEN;
    let http2 = PREFACE.len() + (config.max_frames as usize + 1) * frame + block;
    // `max` of numbers is not const.
    let mut largest = http2;
    if config.max_http1_head > largest {
        largest = config.max_http1_head;
    }
    if config.max_client_hello > largest {
        largest = config.max_client_hello;
    }
    4 * (largest + piece) + 2 * config.max_header_list
}

/// The reason of a route that does not take connections.
pub(super) const fn refuses(choice: u8) -> Option<Reason> {
    match choice % 4 {
        1 => Some(Reason::BackendDown),
        3 => Some(Reason::DeliveryTimeout),
        _ => None,
    }
}
