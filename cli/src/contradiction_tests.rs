//! What leaves nothing, and that nothing is said to which an opening could be found.

use std::sync::Arc;
use std::time::Instant;

use oneport_core::wire::frame::{encode_frame, flag, Kind, PREFACE};
use oneport_core::wire::hpack::encode_field;
use oneport_core::wire::settings::encode_settings;
use oneport_core::{Config, Matcher, MuxMachine, Output, Routes};

use super::*;

fn judge(text: &str) -> Option<String> {
    contradiction(&Match::parse(text).unwrap())
}

#[test]
fn what_leaves_nothing() {
    for (text, why) in [
        (
            "tls,host:a.example",
            "nothing is both `tls` and `host:a.example`; the name in a ClientHello is `sni:a.example`",
        ),
        (
            "host:*.example,alpn:h2",
            "nothing is both `host:*.example` and `alpn:h2`; the name in a ClientHello is `sni:*.example`",
        ),
        ("grpc,http1", "nothing is both `grpc` and `http1`"),
        ("any,grpc,path:/,http1", "nothing is both `grpc` and `http1`"),
        ("http1,http2", "nothing is both `http1` and `http2`"),
        ("ssh,tls", "nothing is both `ssh` and `tls`"),
        ("postgres,header:x", "nothing is both `postgres` and `header:x`"),
        ("tls,host:[::1]", "nothing is both `tls` and `host:[::1]`"),
        ("grpc,!http2", "nothing is both `grpc` and `!http2`"),
        ("!tls,sni:a", "nothing is both `!tls` and `sni:a`"),
        ("header:x=1,!header:x", "nothing is both `header:x=1` and `!header:x`"),
        ("host:a.example,host:b.example", "nothing is both `host:a.example` and `host:b.example`"),
        ("host:example,host:*.example", "nothing is both `host:example` and `host:*.example`"),
        ("method:GET,method:POST", "nothing is both `method:GET` and `method:POST`"),
        ("path:/a,path:/b/*", "nothing is both `path:/a` and `path:/b/*`"),
        ("prefix:AB,prefix:AC", "nothing is both `prefix:AB` and `prefix:AC`"),
        ("http,!http1,!http2", "its terms leave nothing"),
    ] {
        assert_eq!(judge(text).as_deref(), Some(why), "{text}");
    }
}

#[test]
fn what_leaves_something() {
    for text in [
        "any",
        "!tls,!http",
        "tls,sni:a.example,alpn:h2,alpn:http/1.1",
        "grpc,host:a,path:/a.B/C,method:POST",
        "grpc,grpc:a.B",
        "http2,!grpc",
        "http,!http1",
        "websocket,http1",
        "grpc-web,http2",
        "header:x=1,header:x=2",
        "header:x,!header:x=1",
        "host:*.example,host:a.example",
        "host:*.example,!host:a.example",
        "path:/a/*,path:/a",
        "prefix:GET ,http1",
        "prefix:AB,prefix:ABC",
    ] {
        assert_eq!(judge(text), None, "{text}");
    }
}

fn http1(line: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: a\r\nx: 1\r\nx: 2\r\n\r\n").into_bytes()
}

fn http2(content_type: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a.B/C"),
        (":authority", "a"),
        ("content-type", content_type),
        ("x", "1"),
    ] {
        encode_field(&mut block, name.as_bytes(), value.as_bytes());
    }
    let mut bytes = PREFACE.to_vec();
    encode_settings(&mut bytes, &[]);
    encode_frame(&mut bytes, Kind::HEADERS, flag::END_HEADERS, 1, &block);
    bytes
}

/// A ClientHello for `a` that offers `h2` and `http/1.1`.
fn hello() -> Vec<u8> {
    let extensions = b"\0\0\0\x06\0\x04\0\0\x01a\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1";
    let mut body =
        [&b"\x03\x03"[..], &[7; 32], b"\0\0\x02\x13\x01\x01\0\0", &[extensions.len() as u8], extensions]
            .concat();
    body.splice(0..0, [1, 0, 0, body.len() as u8]);
    [&[0x16, 3, 1, 0, body.len() as u8][..], &body].concat()
}

/// Whether a route takes this opening.
fn takes(matcher: Matcher, opening: &[u8]) -> bool {
    let routes = Arc::new(Routes::new().route(matcher, true).otherwise(false));
    let mut machine = MuxMachine::new(routes, Arc::new(Config::default()), Instant::now());
    machine.handle_input(opening, Instant::now());
    machine.handle_eof(Instant::now());
    loop {
        match machine.poll_output() {
            Output::Write(_) => {}
            Output::NeedInput { .. } => panic!("undecided behind the end"),
            Output::Routed(handover) => return handover.target() == Some(&true),
            _ => return false,
        }
    }
}

/// All pairs of terms, each with and without `!`, beside openings of every kind: what is said to leave nothing takes none of them. Each
/// term takes one at least, so that this proves something.
#[test]
fn nothing_takes_what_is_said_to_leave_nothing() {
    let openings = [
        http1("GET /a"),
        http1("SSH-2.0-x /b"),
        b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        http2("application/grpc"),
        http2("application/grpc-web"),
        hello(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(),
        b"\x05\x01\0".to_vec(),
        b"\xff\xff\xff\xff".to_vec(),
    ];
    let terms = [
        "alpn:h2",
        "alpn:http/1.1",
        "any",
        "grpc",
        "grpc:a.B",
        "grpc-web",
        "header:x",
        "header:x=1",
        "header:x=2",
        "host:a",
        "http",
        "http1",
        "http2",
        "method:GET",
        "method:POST",
        "path:/a",
        "path:/b/*",
        "path:/*",
        "postgres",
        "prefix:GET",
        "prefix:SSH-2.0-x",
        "sni:a",
        "socks5",
        "ssh",
        "tls",
        "websocket",
    ];
    let takes_one = |text: &str| {
        let matcher = Match::parse(text).unwrap().matcher();
        openings.iter().any(|opening| takes(matcher.clone(), opening))
    };
    for term in terms {
        assert!(takes_one(term), "{term} takes none");
    }
    let all: Vec<_> = terms.iter().flat_map(|term| [term.to_string(), format!("!{term}")]).collect();
    let all = all.iter().filter(|term| *term != "!any");
    let mut void = 0;
    for one in all.clone() {
        for other in all.clone() {
            let both = format!("{one},{other}");
            if judge(&both).is_some() {
                void += 1;
                assert!(!takes_one(&both), "{both} takes one");
            }
        }
    }
    assert!(void > 300, "{void} pairs");
}
