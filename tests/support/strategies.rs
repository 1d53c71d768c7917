//! Arbitrary conversations, legal and hostile, arbitrary timing, arbitrary cuts.

use std::time::Duration;

use oneport_core::testing::{literals, Client, End, Hello, Script, Shape, GET, GRPC_CALL};
use oneport_core::wire::frame::{flag, Kind};
use oneport_core::wire::hpack::{Encoder, Field};
use oneport_core::wire::settings::{Setting, SettingId};
use oneport_core::{Config, Greeting};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, Index};

use super::drive::Cuts;
use super::scene::Scene;
use super::terms::Term;
use super::{ms, s};

/// The bytes of an acknowledgement, to be hidden where they are none.
pub(crate) const ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

/// One thing that an HTTP/2 client sends.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Settings(Vec<(u16, u32)>),
    Ack,
    /// With a payload, or on a stream: no acknowledgement.
    MalformedAck(bool),
    Ping(u8),
    /// The answer to a PING that nobody sent.
    Pong,
    Priority,
    WindowUpdate,
    Unknown(Vec<u8>),
    GoAway,
    Data(bool),
    Head {
        kind: usize,
        stream: u32,
        shape: Shape,
        is_plain: bool,
    },
    Pause(Duration),
}

/// The requests that clients make.
pub(crate) const REQUESTS: [&[(&str, &str)]; 6] = [
    GRPC_CALL,
    GET,
    &[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/api/v1?q"),
        (":authority", "B.example.:80"),
        ("content-type", "application/grpc-web"),
    ],
    &[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/api"),
        (":authority", "a.example"),
    ],
    // Malformed: no method, and a pseudo-field behind the fields.
    &[(":path", "/x"), ("x-tenant", "blue")],
    &[(":method", "POST"), ("content-type", "application/grpc"), (":path", "/x")],
];

pub(crate) fn apply(script: Script, say: &Say) -> Script {
    match say {
        Say::Settings(entries) => script.settings(entries),
        Say::Ack => script.settings_ack(),
        Say::MalformedAck(true) => script.frame(Kind::SETTINGS, flag::ACK, 0, &[0, 3, 0, 0, 0, 1]),
        Say::MalformedAck(false) => script.frame(Kind::SETTINGS, flag::ACK, 3, &[]),
        Say::Ping(n) => script.ping([*n; 8]),
        Say::Pong => script.frame(Kind::PING, flag::ACK, 0, &[7; 8]),
        Say::Priority => script.priority(3),
        Say::WindowUpdate => script.window_update(0, 0x3fff_0001),
        Say::Unknown(payload) => script.frame(Kind(0xbe), 0x41, 77, payload),
        Say::GoAway => script.goaway(0, 0),
        Say::Data(hides_ack) => script.data(1, false, if *hides_ack { &ACK } else { b"\0\0\0\0\0" }),
        Say::Head { kind, stream, shape, is_plain } => {
            let fields = REQUESTS[kind % REQUESTS.len()];
            let mut block = Vec::new();
            if *is_plain {
                block = literals(fields);
            } else {
                let fields = fields.iter().map(|(name, value)| Field {
                    name: name.as_bytes(),
                    value: value.as_bytes(),
                    never_indexed: false,
                });
                Encoder::new().encode(fields, &mut block);
            }
            script.block(*stream, &block, shape)
        }
        Say::Pause(by) => script.pause(*by),
    }
}

/// Around the instants that matter: patience (5 ms), deadlines, and the rate of PINGs.
fn pause() -> impl Strategy<Value = Duration> {
    prop_oneof![
        8 => select(vec![ms(1), ms(4), ms(5), ms(6), ms(30)]),
        2 => select(vec![ms(999), s(1), s(4), s(6), s(11)]),
        1 => select(vec![s(76), s(36 * 60)]),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    (option::weighted(0.2, 0..40_u8), any::<bool>(), vec(0..80_usize, 0..4), any::<bool>())
        .prop_map(|(padding, priority, cuts, has_body)| Shape { padding, priority, cuts, has_body })
}

fn entries() -> impl Strategy<Value = Vec<(u16, u32)>> {
    vec((select(vec![1_u16, 2, 3, 4, 5, 6, 8, 9, 0xfe03, 0x2a2a]), any::<u32>()), 0..4)
}

fn head(streams: &'static [u32]) -> impl Strategy<Value = Say> {
    (0..REQUESTS.len() + 6, select(streams), shape(), any::<bool>()).prop_map(
        |(kind, stream, shape, is_plain)| Say::Head {
            // Mostly one of the first two.
            kind: if kind < REQUESTS.len() { kind } else { kind % 2 },
            stream,
            shape,
            is_plain,
        },
    )
}

/// What the mux neither answers nor takes out.
pub(crate) fn bystander() -> impl Strategy<Value = Say> {
    prop_oneof![
        1 => Just(Say::Pong),
        2 => Just(Say::Priority),
        2 => Just(Say::WindowUpdate),
        2 => vec(any::<u8>(), 0..20).prop_map(Say::Unknown),
        1 => Just(Say::GoAway),
        2 => any::<bool>().prop_map(Say::Data),
    ]
}

/// What may stand around the first request, without a pause.
pub(crate) fn say_at_once() -> impl Strategy<Value = Say> {
    prop_oneof![
        10 => bystander(),
        2 => entries().prop_map(Say::Settings),
        5 => Just(Say::Ack),
        1 => any::<bool>().prop_map(Say::MalformedAck),
        4 => any::<u8>().prop_map(Say::Ping),
    ]
}

/// What may stand around the first request.
pub(crate) fn say() -> impl Strategy<Value = Say> {
    prop_oneof![22 => say_at_once(), 6 => pause().prop_map(Say::Pause)]
}

/// Conversations over HTTP/2: mostly legal, with any pauses, even inside frames.
pub(crate) fn http2() -> impl Strategy<Value = Script> {
    let opening = (
        option::weighted(0.95, entries()),
        vec(say(), 0..8),
        option::weighted(0.9, head(&[1, 1, 1, 3, 13, 0, 2])),
    );
    let behind = vec(prop_oneof![4 => say(), 1 => head(&[3, 5])], 0..8);
    (opening, behind, delays()).prop_map(|((settings, before, head), behind, delays)| {
        let mut script = Client::http2();
        for say in settings.map(Say::Settings).iter().chain(&before).chain(&head).chain(&behind) {
            script = apply(script, say);
        }
        delayed(script, &delays)
    })
}

fn delays() -> impl Strategy<Value = Vec<(Index, Duration)>> {
    prop_oneof![2 => Just(Vec::new()), 1 => vec((any::<Index>(), pause()), 1..4)]
}

fn delayed(mut script: Script, delays: &[(Index, Duration)]) -> Script {
    for (at, by) in delays {
        let len = script.bytes().len();
        if len > 0 {
            script = script.delayed_at(at.index(len), *by);
        }
    }
    script
}

/// PINGs one after the other, at any rate, of a client that has been greeted or not yet.
pub(crate) fn pinging() -> impl Strategy<Value = Script> {
    let pause = prop_oneof![
        3 => Just(Duration::ZERO),
        2 => select(vec![ms(1), ms(6), ms(300), ms(500), ms(999), s(1), ms(1_500), s(3)]),
    ];
    (vec((any::<u8>(), pause), 0..30), any::<bool>()).prop_map(|(pings, asks)| {
        let mut script = Client::http2().settings(&[]);
        for (opaque, pause) in pings {
            script = script.ping([opaque; 8]).pause(pause);
        }
        if asks {
            script = script.settings_ack().headers(1, GRPC_CALL).ping([1; 8]);
        }
        script
    })
}

const HTTP1: [&str; 12] = [
    "GET / HTTP/1.0\r\n\r\n",
    "GET /api/v1?q=1 HTTP/1.1\r\nHost: b.example:80\r\nX-Tenant: blue\r\n\r\n",
    "\r\nPOST /x HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/grpc\r\nContent-Length: 4\r\n\r\nbody",
    "GET /api HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "GET /x HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    "HEAD http://sub.a.example/api/x HTTP/1.1\r\nHost: b.example\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost : a.example\r\n\r\n",
    "PROPFIND /x HTTP/1.1\r\nHost: a.example\nHost: b.example\n\n",
    "GET /x HTTP/2.0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx",
    "GET /x HTTP/1.1\r\n folded: yes\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\n\r\nGET /second HTTP/1.1\r\n\r\n",
];

fn hello() -> impl Strategy<Value = Vec<u8>> {
    (
        option::of(select(vec!["a.example", "B.example", "c.example"])),
        select(vec![vec![], vec!["h2"], vec!["http/1.1", "h2"], vec!["grpc-exp"]]),
        any::<bool>(),
        select(vec![0, 10, 1_700]),
        select(vec![1 << 14, 100, 7]),
    )
        .prop_map(|(sni, alpn, is_13, filler, fragment)| {
            let mut hello = sni.map_or_else(Hello::default, Hello::to).offering(&alpn);
            if !is_13 {
                hello.versions.clear();
            }
            hello.filler = filler;
            hello.fragment = fragment;
            hello.encode()
        })
}

const RAW: [&[u8]; 12] = [
    b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u6\r\n",
    b"\x05\x01\x00",
    b"\x05\x02\x00\x02user",
    b"\0\0\0\x08\x04\xd2\x16\x2f",
    b"\0\0\0\x29\0\x03\0\0user\0postgres\0\0",
    b"\0\0\0\x10\x04\xd2\x16\x2e12345678",
    b"\x16\x03\x01\x02",
    b"\x16\x03\x01\x40\0\x01\xff\0\0 too long",
    b"MAGIC and more",
    b"\x80\x2e\x01\x03\x01",
    b"\r\n\r\n",
    b"\n",
];

/// Clients of every kind, mostly undamaged.
pub(crate) fn client() -> impl Strategy<Value = Script> {
    let other = prop_oneof![
        2 => select(&HTTP1[..]).prop_map(|text| text.as_bytes().to_vec()),
        1 => hello(),
        1 => select(&RAW[..]).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..40),
    ];
    let other = (other, delays()).prop_map(|(bytes, delays)| delayed(Client::silent().raw(bytes), &delays));
    let whole = prop_oneof![6 => http2(), 3 => other, 1 => pinging()];
    let end = option::weighted(0.5, select(vec![End::Fin, End::Fin, End::Reset]));
    let cut = option::weighted(0.3, any::<Index>());
    let damage = option::weighted(0.15, (any::<Index>(), any::<u8>()));
    (whole, end, pause(), cut, damage).prop_map(|(mut script, end, pause, cut, damage)| {
        if let Some((at, byte)) = damage {
            script = damaged(&script, at, byte);
        }
        if let Some(cut) = cut {
            let len = script.bytes().len();
            script = script.cut_off(cut.index(len + 1));
        }
        match end {
            Some(end) => script.pause(pause).ends(end),
            None => script,
        }
    })
}

/// The same with one byte replaced.
fn damaged(script: &Script, at: Index, byte: u8) -> Script {
    let len = script.bytes().len();
    if len == 0 {
        return script.clone();
    }
    let at = at.index(len);
    let mut out = Client::silent();
    let mut start = 0;
    for piece in script.pieces() {
        let mut bytes = piece.bytes.clone();
        if let Some(place) = at.checked_sub(start).and_then(|at| bytes.get_mut(at)) {
            *place = byte;
        }
        start += bytes.len();
        out = out.clone().pause(piece.at - out.now()).raw(bytes);
    }
    let left = script.now() - out.now();
    out.pause(left)
}

/// Any matcher of the vocabulary.
pub(crate) fn term() -> impl Strategy<Value = Term> {
    let leaf = select(vec![
        Term::Grpc,
        Term::Grpc,
        Term::Grpc,
        Term::Http,
        Term::Http1,
        Term::Http1Method,
        Term::Http2,
        Term::Method("POST"),
        Term::Path("/x"),
        Term::PathPrefix("/api/"),
        Term::Authority("a.example"),
        Term::Authority("*.a.example"),
        Term::Authority("b.example"),
        Term::HeaderIs("x-tenant", "blue"),
        Term::HeaderIs("Content-Type", "application/grpc"),
        Term::WebSocket,
        Term::H2cUpgrade,
        Term::FactsPath("/x"),
        Term::Tls,
        Term::Tls13,
        Term::Sni("a.example"),
        Term::Alpn("h2"),
        Term::Ssh,
        Term::Postgres,
        Term::Socks5,
        Term::Any,
        Term::Prefix(b"MAGIC"),
        Term::Prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x08\x06"),
        Term::Prefix(b"\x16\x03\x01\x40\0\x01\xff\0\0 too"),
        Term::ByteAt(3, b'0'),
        Term::ByteAt(40, 0),
        Term::ByteAt(70, 0),
    ]);
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|term| Term::Not(Box::new(term))),
            vec(inner.clone(), 0..3).prop_map(Term::All),
            vec(inner, 0..3).prop_map(Term::AnyOf),
        ]
    })
}

/// Bounds of every size that a small scene can reach.
fn config() -> impl Strategy<Value = Config> {
    let greeting = select(vec![
        vec![(3, 100)],
        vec![],
        vec![(1, 0), (3, 1), (4, 0), (5, 16_384), (6, 1_000), (8, 1), (9, 1)],
    ]);
    let patience = select(vec![ms(5), ms(5), ms(5), Duration::ZERO, ms(40)]);
    (greeting, patience, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(greeting, patience, is_narrow, is_slow, has_small_heads)| {
            let mut config = Config::default();
            config.greeting = greeting_of(&greeting);
            config.settings_patience = patience;
            if is_narrow {
                config.max_frames = 4;
                config.max_settings = 1;
                config.max_settings_entries = 2;
                config.max_continuations = 2;
                config.ping_burst = 2;
            }
            if is_slow {
                config.ping_interval = ms(300);
                config.refusal_deadline = s(1);
                config.http2_settings_deadline = ms(700);
            }
            if has_small_heads {
                config.max_prefix = 32;
                config.max_http1_head = 60;
                config.max_client_hello = 150;
                config.max_header_block = 100;
                config.max_header_list = 300;
                config.max_frame_size = 110;
            }
            config
        },
    )
}

pub(crate) fn greeting_of(entries: &[(u16, u32)]) -> Greeting {
    Greeting::new(entries.iter().map(|&(id, value)| Setting { id: SettingId(id), value })).unwrap()
}

/// Any client in front of any routes.
pub(crate) fn scene() -> impl Strategy<Value = Scene> {
    let config = prop_oneof![1 => Just(Config::default()), 1 => config()];
    let server_first = option::weighted(0.2, select(vec![ms(3), s(1)]));
    (vec(term(), 0..5), any::<bool>(), any::<bool>(), server_first, config, client()).prop_map(
        |(routes, has_otherwise, has_on_timeout, server_first, config, client)| Scene {
            routes,
            has_otherwise,
            has_on_timeout,
            server_first,
            config,
            client,
        },
    )
}

/// How reads cut what is there.
pub(crate) fn cuts() -> impl Strategy<Value = Cuts> {
    prop_oneof![
        1 => Just(Cuts::whole()),
        1 => Just(Cuts::bytewise()),
        4 => vec(prop_oneof![3 => 1..12_usize, 1 => 12..200_usize], 1..6).prop_map(Cuts),
    ]
}
