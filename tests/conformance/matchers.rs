//! The vocabulary of users, word by word: what each matcher takes, what it does not, and at which byte it knows.

use std::sync::Arc;
use std::time::Instant;

use oneport_core::matchers::*;
use oneport_core::testing::{literals, Client, Hello, Shape, GRPC_CALL};
use oneport_core::{Config, Fact, MuxMachine, Output, Routes, Verdict};

/// What a matcher says of an opening that comes byte by byte, and after how many bytes.
fn judge(matcher: Matcher, opening: &[u8]) -> (Verdict, usize) {
    let routes = Arc::new(Routes::new().route(matcher.clone(), true).route(!matcher, false));
    let now = Instant::now();
    let mut machine = MuxMachine::new(routes, Arc::new(Config::default()), now);
    for end in 0..=opening.len() {
        if end > 0 {
            machine.handle_input(&opening[end - 1..end], now);
        }
        match machine.poll_output() {
            Output::Routed(handover) if handover.target() == Some(&true) => return (Verdict::Match, end),
            Output::Routed(_) => return (Verdict::NoMatch, end),
            Output::NeedInput { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    (Verdict::NeedMore, opening.len())
}

#[track_caller]
fn takes<B: AsRef<[u8]>>(matcher: Matcher, opening: B) {
    let opening = opening.as_ref();
    let verdict = judge(matcher.clone(), opening).0;
    assert_eq!(verdict, Verdict::Match, "{matcher} of {}", opening.escape_ascii());
}

#[track_caller]
fn refuses<B: AsRef<[u8]>>(matcher: Matcher, opening: B) {
    let opening = opening.as_ref();
    let verdict = judge(matcher.clone(), opening).0;
    assert_eq!(verdict, Verdict::NoMatch, "{matcher} of {}", opening.escape_ascii());
}

/// The verdict, and the byte that settles it.
#[track_caller]
fn settles(matcher: Matcher, opening: impl AsRef<[u8]>, verdict: Verdict, at: usize) {
    let opening = opening.as_ref();
    assert_eq!(judge(matcher.clone(), opening), (verdict, at), "{matcher} of {}", opening.escape_ascii());
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n{fields}\r\n")
}

fn http2_with(fields: &[(&str, &str)]) -> Vec<u8> {
    Client::http2().settings(&[]).headers(1, fields).bytes()
}

fn http2_get(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    http2_with(&[&[(":method", "GET"), (":scheme", "http"), (":path", path)], fields].concat())
}

#[test]
fn everything() {
    settles(any(), "", Verdict::Match, 0);
    settles(all([]), "", Verdict::Match, 0);
    settles(any_of([]), "", Verdict::NoMatch, 0);
    assert!(any().takes_everything() && all([any()]).takes_everything() && !http().takes_everything());
    assert!(any_of([http(), any()]).takes_everything() && !any_of([http(), ssh()]).takes_everything());
}

/// C-9, C-11: decided at the first byte that differs, and never by a fixed length.
#[test]
fn prefixes() {
    settles(prefix(*b"MAGIC"), "MAGIC!", Verdict::Match, 5);
    settles(prefix(*b"MAGIC"), "MAGI!C", Verdict::NoMatch, 5);
    settles(prefix(*b"MAGIC"), "MAGI", Verdict::NeedMore, 4);
    settles(prefix(*b""), "", Verdict::Match, 0);
    settles(ssh(), "SSH-2.0-x", Verdict::Match, 4);
    settles(ssh(), "SSH_", Verdict::NoMatch, 4);
    settles(ssh(), "ssh-", Verdict::NoMatch, 1);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    settles(http2(), preface, Verdict::Match, 24);
    for at in 0..24 {
        let mut other = *preface;
        other[at] ^= 0x20;
        settles(http2(), other, Verdict::NoMatch, at + 1);
        settles(http2(), &preface[..at], Verdict::NeedMore, at);
    }
    settles(http2(), "SSH-2.0-OpenSSH_9.2\r\n", Verdict::NoMatch, 1);
    settles(http2(), "GET / HTTP/1.0\r\n\r\n", Verdict::NoMatch, 1);
}

/// A frame that must not come there ends what counts of HTTP/2 with its head: that much raw matchers see, and nothing behind it.
#[test]
fn prefixes_that_end_with_a_bad_frame() {
    let data_before_settings = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0; 9], b"more"].concat();
    for (length, verdict) in [(32, Verdict::Match), (33, Verdict::Match), (34, Verdict::NoMatch)] {
        settles(prefix(&data_before_settings[..length]), &data_before_settings, verdict, length.min(33));
    }
}

/// D-11, D-17: by the grammar of the request line, at its end, and never by one read.
#[test]
fn http1_request_lines() {
    settles(http1(), "GET / HTTP/1.0\r\n\r\n", Verdict::Match, 16);
    settles(http1(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n", Verdict::Match, 16);
    settles(http1(), "\r\nGET / HTTP/1.1\r\n", Verdict::Match, 18);
    settles(http1(), "PROPFIND /x HTTP/1.1\r\n", Verdict::Match, 22);
    let longest = "M".repeat(32);
    for before in ["", "\n", "\r\n"] {
        takes(http1(), format!("{before}{longest} / HTTP/1.1\r\n"));
        settles(http1(), format!("{before}{longest}M / HTTP/1.1\r\n"), Verdict::NoMatch, before.len() + 33);
    }
    settles(http1(), "m-search * HTTP/1.1\r\n", Verdict::Match, 21);
    settles(http1(), "GE", Verdict::NeedMore, 2);
    settles(http1(), "\r\n\r\n", Verdict::NoMatch, 3);
    settles(http1(), "GET  / HTTP/1.1\r\n", Verdict::NoMatch, 5);
    settles(http1(), "GET / HTTP/1.2\r\n", Verdict::Match, 16);
    settles(http1(), "GET / HTTP/1.x\r\n", Verdict::NoMatch, 14);
    settles(http1(), "GET / HTTP/2.0\r\n", Verdict::NoMatch, 12);
    settles(http1(), "GET / http/1.1\r\n", Verdict::NoMatch, 7);
    settles(http1(), "\x16\x03\x01", Verdict::NoMatch, 1);
    settles(http1(), "PRI * HTTP/2.0\r\n", Verdict::NoMatch, 12);
    refuses(http1(), "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u6\r\n");
    settles(http(), "GET / HTTP/1.1\r\n", Verdict::Match, 16);
    settles(http(), http2_with(GRPC_CALL), Verdict::Match, 24);
    settles(http(), "\x05\x01\0", Verdict::NoMatch, 1);
    settles(http(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r!", Verdict::NoMatch, 24);
}

#[test]
fn http1_methods() {
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"] {
        settles(http1_method(), format!("{method} whatever"), Verdict::Match, method.len() + 1);
        settles(http1_method(), format!("{method}X"), Verdict::NoMatch, method.len() + 1);
        settles(http1_method(), method, Verdict::NeedMore, method.len());
    }
    settles(http1_method(), "PRI * HTTP/2.0", Verdict::NoMatch, 2);
    settles(http1_method(), "get /", Verdict::NoMatch, 1);
}

/// C-18, on both versions of HTTP.
#[test]
fn headers() {
    let conditions: [(HeaderCondition, &[&str], &[&str]); 4] = [
        (present(), &["", "x", "blue"], &[]),
        (is("blue"), &["blue"], &["", "Blue", "blue2", "blu", "blue, green"]),
        (
            starts_with("kube-probe/"),
            &["kube-probe/", "kube-probe/1.30"],
            &["kube-probe", "Kube-probe/1", ""],
        ),
        (
            contains_token("upgrade"),
            &["upgrade", "keep-alive, Upgrade", "UPGRADE,x", "a,\tupgrade ,b", ",upgrade"],
            &["", "upgrades", "up grade", "keep-alive Upgrade", "upgrade;q=1"],
        ),
    ];
    for (condition, yes, no) in conditions {
        // Names in any case; any line of that name.
        let lines = |value: &str| format!("Host: a\r\nX-Other: blue\r\nX-Name: zzz\r\nx-nAmE: {value}\r\n");
        let fields = |value| http2_get("/", &[("x-other", "blue"), ("x-name", value), ("x-name", "zzz")]);
        for name in ["x-name", "X-Name"] {
            for value in yes {
                takes(header(name, condition.clone()), get("/", &lines(value)));
                takes(header(name, condition.clone()), fields(value));
            }
            for value in no {
                refuses(header(name, condition.clone()), get("/", &lines(value)));
                refuses(header(name, condition.clone()), fields(value));
            }
        }
        refuses(header("x-absent", condition.clone()), get("/", &lines("blue")));
        refuses(header("x-absent", condition.clone()), fields("blue"));
        refuses(header("x-name", condition), "\x16\x03\x01");
    }
    for name in ["x-name", "X-name", "x-namE", "X-NAME"] {
        for sent in ["x-name", "X-name", "x-namE", "X-NAME"] {
            takes(header(name, is("blue")), get("/", &format!("{sent}: blue\r\n")));
        }
    }
    settles(header("a", is("b")), "GET / HTTP/1.1\r\na: b\r\n", Verdict::NeedMore, 22);
    settles(header("a", is("b")), "GET / HTTP/1.1\r\na: b\r\n\r\n", Verdict::Match, 24);
    settles(header("a", is("b")), "GET / HTTP/1.1\r\na : b\r\n\r\n", Verdict::NoMatch, 18);
    refuses(header(":path", present()), http2_get("/", &[]));
    refuses(header(":method", is("GET")), http2_get("/", &[]));
}

#[test]
fn paths() {
    for (target, exact) in [
        ("/x", true),
        ("/x?q=1", true),
        ("http://a.example/x", true),
        ("http://a.example/x?/y", true),
        ("http:///x", true),
        ("http:/x", true),
        ("http:x", false),
        ("/x/", false),
        ("/X", false),
        ("/", false),
        ("/xx", false),
        ("/y/x", false),
        ("*", false),
        ("/%78", false),
    ] {
        let expect = if exact { takes::<Vec<u8>> } else { refuses };
        expect(path("/x"), get(target, "").into());
        expect(path("/x"), http2_get(target, &[]));
    }
    settles(path("/x"), "GET /x HTTP/1.1\r\nHost", Verdict::Match, 17);
    settles(path("/y"), "GET /x HTTP/1.1\r\nHost", Verdict::NoMatch, 17);
    takes(path("/"), get("http://a.example", ""));
}

#[test]
fn path_prefixes_go_by_segments() {
    for prefix in ["/api", "/api/"] {
        for target in ["/api", "/api/", "/api/v1", "/api?x", "/api/?x", "http://a.example/api/x", "/api//x"] {
            takes(path_prefix(prefix), get(target, ""));
            takes(path_prefix(prefix), http2_get(target, &[]));
        }
        for target in ["/apix", "/ap", "/", "/v1/api", "/API", "/?/api", "*"] {
            refuses(path_prefix(prefix), get(target, ""));
            refuses(path_prefix(prefix), http2_get(target, &[]));
        }
    }
    for target in ["/", "/x", "/x/y?z"] {
        takes(path_prefix("/"), get(target, ""));
    }
    takes(path_prefix("/a/b"), get("/a/b/c", ""));
    refuses(path_prefix("/a/b"), get("/a/bc", ""));
}

#[test]
fn authorities() {
    let on_http1 = |host: &str| get("/", &format!("Host: {host}\r\n"));
    let pseudo = |host: &str| {
        http2_with(&[(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", "/")])
    };
    for (pattern, yes, no) in [
        (
            "a.example",
            &[
                "a.example",
                "A.Example",
                "a.example:80",
                "a.example.",
                "a.example.:8080",
                "a.example:",
                "a.example:http",
                "u@a.example",
                "a@a.example",
                "b.example@A.example.:80",
                "u:p@v@a.example",
            ][..],
            &["b.a.example", "a.example.org", "example", "xa.example", "a.example:80:x", "a.example@b", ""][..],
        ),
        ("A.EXAMPLE.", &["a.example"], &["b.example"]),
        (
            "*.example.org",
            &["a.example.org", "A.B.Example.Org:443", "x.example.org."],
            &["example.org", ".example.org", "aexample.org", "example.org.evil"],
        ),
        ("[::1]", &["[::1]", "[::1]:80", "u@[::1]:80"], &["::1", "[::2]:80"]),
        ("127.0.0.1", &["127.0.0.1:7101"], &["127.0.0.11"]),
    ] {
        for host in yes {
            takes(authority(pattern), format!("CONNECT {host} HTTP/1.1\r\n\r\n"));
            takes(authority(pattern), on_http1(host));
            takes(authority(pattern), pseudo(host));
        }
        for host in no {
            refuses(authority(pattern), on_http1(host));
            refuses(authority(pattern), pseudo(host));
        }
    }
    // An absolute-form target comes before Host, :authority before a field named host.
    takes(authority("a.example"), get("http://a.example:80/x", "Host: b.example\r\n"));
    refuses(authority("b.example"), get("http://a.example:80/x", "Host: b.example\r\n"));
    takes(authority("a.example"), "CONNECT a.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\n");
    let both = [(":method", "GET"), (":authority", "a.example"), (":path", "/"), ("host", "b.example")];
    takes(authority("a.example"), http2_with(&both));
    takes(authority("b.example"), http2_get("/", &[("host", "b.example")]));
    // What looks like an authority is one of CONNECT only, and one that names nobody leaves it to Host: so read servers (seen: Go's).
    for target in ["a.example:443", "http://@/x", "http://:80/x", "http:///x", "http:/x"] {
        takes(authority("b.example"), get(target, "Host: b.example\r\n"));
        refuses(authority("a.example"), get(target, "Host: b.example\r\n"));
        refuses(authority("b.example"), get(target, "Host: b.example\r\nHost: b.example\r\n"));
    }
    // CONNECT with what is no authority-form: servers read it like this (seen: Go's).
    takes(authority("b.example"), "CONNECT /x HTTP/1.1\r\nHost: b.example\r\n\r\n");
    takes(path("/x"), "CONNECT /x HTTP/1.1\r\nHost: b.example\r\n\r\n");
    takes(authority("a.example"), "CONNECT a.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n");
    takes(path("/x"), "CONNECT a.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n");
    refuses(path_prefix("/"), "CONNECT a.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\n");
    for nobody in ["", "@", ":80", "."] {
        let fields = [(":method", "GET"), (":authority", nobody), (":path", "/"), ("host", "b.example")];
        takes(authority("b.example"), http2_with(&fields));
    }
    // Two of them: nobody knows which one a backend believes.
    for name in ["a.example", "b.example"] {
        refuses(authority(name), get("/", "Host: a.example\r\nHost: b.example\r\n"));
    }
    refuses(authority("a.example"), get("/", ""));
    // A name in front of an `@` is no host (RFC 9110 §4.2.4).
    refuses(authority("a.example"), get("http://a.example@b.example/", ""));
    takes(authority("b.example"), get("http://a.example@b.example/", ""));
}

#[test]
fn methods_are_case_sensitive() {
    takes(method("GET"), get("/", ""));
    takes(method("GET"), http2_get("/", &[]));
    refuses(method("get"), get("/", ""));
    refuses(method("GET"), "GETX / HTTP/1.1\r\n\r\n");
    takes(method("PROPFIND"), "PROPFIND / HTTP/1.1\r\n");
    settles(method("GET"), "GET / HTTP/1.1\r\n", Verdict::Match, 16);
}

#[test]
fn grpc_services() {
    let call =
        |path| http2_with(&[(":method", "POST"), (":path", path), ("content-type", "application/grpc")]);
    takes(grpc(), http2_with(GRPC_CALL));
    for (path, is_health) in [
        ("/grpc.health.v1.Health/Check", true),
        ("/grpc.health.v1.Health/", true),
        ("/grpc.health.v1.Health", false),
        ("/grpc.health.v1.Healthy/Check", false),
        ("/grpc.health.v1.Healt/Check", false),
        ("/x/grpc.health.v1.Health/Check", false),
        ("/Grpc.Health.V1.Health/Check", false),
        ("grpc.health.v1.Health/Check", false),
    ] {
        let expect = if is_health { takes } else { refuses };
        expect(grpc_service("grpc.health.v1.Health"), call(path));
    }
    let plain = http2_with(&[(":method", "POST"), (":path", "/grpc.health.v1.Health/Check")]);
    refuses(grpc_service("grpc.health.v1.Health"), plain);
    settles(grpc(), "GET / HTTP/1.1\r\n", Verdict::NoMatch, 1);
}

#[test]
fn grpc_web_is_http() {
    let post = |value: &str| format!("POST /p.S/M HTTP/1.1\r\nContent-Type: {value}\r\n\r\n");
    let call = |value| http2_with(&[(":method", "POST"), (":path", "/p.S/M"), ("content-type", value)]);
    for value in [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "Application/gRPC-Web-Text+proto; x",
    ] {
        takes(grpc_web(), post(value));
        takes(grpc_web(), call(value));
        refuses(grpc(), call(value));
    }
    for value in
        ["application/grpc", "application/grpc+web", "application/grpc-website", "application/grpc-web-texts"]
    {
        refuses(grpc_web(), post(value));
        refuses(grpc_web(), call(value));
    }
    refuses(grpc_web(), get("/", "Content-Type: application/grpc-web\r\n"));
}

/// C-25, on both versions.
#[test]
fn websockets() {
    let upgrade =
        |connection: &str, to: &str| get("/", &format!("Connection: {connection}\r\nUpgrade: {to}\r\n"));
    takes(websocket(), upgrade("Upgrade", "websocket"));
    takes(websocket(), upgrade("keep-alive, Upgrade", "WebSocket"));
    takes(websocket(), upgrade("upgrade", "h2c, websocket"));
    refuses(websocket(), upgrade("keep-alive", "websocket"));
    refuses(websocket(), upgrade("Upgrade", "h2c"));
    refuses(websocket(), get("/", "Upgrade: websocket\r\n"));
    refuses(websocket(), "POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let connect = |method, protocol| {
        http2_with(&[(":method", method), (":protocol", protocol), (":scheme", "https"), (":path", "/")])
    };
    takes(websocket(), connect("CONNECT", "websocket"));
    refuses(websocket(), connect("CONNECT", "connect-udp"));
    refuses(websocket(), connect("GET", "websocket"));
    refuses(websocket(), http2_get("/", &[("connection", "upgrade"), ("upgrade", "websocket")]));
}

/// C-27: an offer that an HTTP/1 server may take or leave.
#[test]
fn h2c_upgrades() {
    let offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    takes(h2c_upgrade(), get("/", offer));
    takes(http1(), get("/", offer));
    refuses(http2(), get("/", offer));
    refuses(h2c_upgrade(), get("/", "Connection: close\r\nUpgrade: h2c\r\n"));
    refuses(h2c_upgrade(), get("/", "Connection: Upgrade\r\nUpgrade: h2\r\n"));
    settles(h2c_upgrade(), http2_get("/", &[]), Verdict::NoMatch, 12);
}

/// C-12, C-13: by a whole ClientHello, and not by three bytes.
#[test]
fn tls_hellos() {
    let mut hello = Hello::to("a.Example").offering(&["h2", "http/1.1"]);
    let bytes = hello.encode();
    settles(tls(), &bytes, Verdict::Match, bytes.len());
    settles(tls(), &bytes[..bytes.len() - 1], Verdict::NeedMore, bytes.len() - 1);
    settles(tls(), b"\x16\x03\x01\0\x05\x02", Verdict::NoMatch, 6);
    settles(tls(), b"\x16\x02", Verdict::NoMatch, 2);
    settles(tls(), b"\x80\x2e\x01", Verdict::NoMatch, 1);
    for name in ["a.example", "A.EXAMPLE", "a.example.", "*.example"] {
        takes(sni(name), &bytes);
    }
    for name in ["b.example", "*.a.example", "example", "*.xample"] {
        refuses(sni(name), &bytes);
    }
    takes(alpn("h2"), &bytes);
    takes(alpn("http/1.1"), &bytes);
    refuses(alpn("H2"), &bytes);
    refuses(alpn("h"), &bytes);
    takes(tls_version(TlsVersion::Tls13), &bytes);
    takes(tls_version(TlsVersion::Tls12), &bytes);
    refuses(tls_version(TlsVersion::Tls11), &bytes);
    for matcher in [sni("a.example"), alpn("h2"), tls_version(TlsVersion::Tls13)] {
        settles(matcher, "GET / HTTP/1.1\r\n", Verdict::NoMatch, 1);
    }

    hello.versions.clear();
    let old = hello.encode();
    takes(tls_version(TlsVersion::Tls12), &old);
    refuses(tls_version(TlsVersion::Tls13), &old);
    let anonymous = Hello::default().encode();
    takes(tls(), &anonymous);
    refuses(sni("*.example"), &anonymous);
    refuses(alpn("h2"), &anonymous);
}

/// T-tls-frag: any records, in any segments. Post-quantum hellos do not fit one of either.
#[test]
fn a_hello_may_take_any_number_of_records() {
    let mut hello = Hello::to("a.example");
    hello.filler = 1_700;
    for fragment in [1, 5, 43, 100, 1_000, 1 << 14] {
        hello.fragment = fragment;
        let bytes = hello.encode();
        settles(sni("a.example"), &bytes, Verdict::Match, bytes.len());
    }
}

#[test]
fn postgres_first_messages() {
    let message = |length: u32, code: u32| [length.to_be_bytes(), code.to_be_bytes()].concat();
    for (what, bytes) in [
        ("StartupMessage 3.0", message(41, 3 << 16)),
        ("StartupMessage 3.2", message(41, (3 << 16) + 2)),
        ("SSLRequest", message(8, 80_877_103)),
        ("GSSENCRequest", message(8, 80_877_104)),
        ("CancelRequest", message(16, 80_877_102)),
    ] {
        assert_eq!(judge(postgres(), &bytes), (Verdict::Match, 8), "{what}");
        assert_eq!(judge(postgres(), &bytes[..7]), (Verdict::NeedMore, 7), "{what}");
    }
    settles(postgres(), message(41, 2 << 16), Verdict::NoMatch, 6);
    settles(postgres(), message(9, 80_877_103), Verdict::NoMatch, 8);
    // CancelRequest: a key of at most 256 bytes behind process and code.
    settles(postgres(), message(12 + 256, 80_877_102), Verdict::Match, 8);
    settles(postgres(), message(12 + 257, 80_877_102), Verdict::NoMatch, 8);
    settles(postgres(), "GET / HTTP/1.1\r\n", Verdict::NoMatch, 1);
    settles(postgres(), b"\0\0\xff\xff", Verdict::NoMatch, 4);
}

/// C-10: three bytes are enough, behind whatever other route.
#[test]
fn socks5_greetings() {
    settles(socks5(), b"\x05\x01\0", Verdict::Match, 3);
    settles(socks5(), b"\x05\x02\0\x02x", Verdict::Match, 4);
    settles(socks5(), b"\x05", Verdict::NeedMore, 1);
    settles(socks5(), b"\x05\0", Verdict::NoMatch, 2);
    settles(socks5(), b"\x04\x01", Verdict::NoMatch, 1);
    settles(all([!http(), !tls(), socks5()]), b"\x05\x01\0", Verdict::Match, 3);
}

/// Three-valued logic, every cell of it.
#[test]
fn combinators() {
    let constant = |verdict| facts_fn(move |_| verdict);
    let (yes, no, more) = (Verdict::Match, Verdict::NoMatch, Verdict::NeedMore);
    // a, b, all, any_of
    for (a, b, both, either) in [
        (yes, yes, yes, yes),
        (yes, no, no, yes),
        (yes, more, more, yes),
        (no, yes, no, yes),
        (no, no, no, no),
        (no, more, no, more),
        (more, yes, more, yes),
        (more, no, no, more),
        (more, more, more, more),
    ] {
        // Bytes that leave every fact unknown, so that "need more" stays what it is.
        let opening = b"PRI *";
        assert_eq!(judge(all([constant(a), constant(b)]), opening).0, both, "all of {a:?} and {b:?}");
        assert_eq!(judge(any_of([constant(a), constant(b)]), opening).0, either, "any of {a:?} and {b:?}");
    }
    assert_eq!((!yes, !no, !more), (no, yes, more));
    settles(!http2(), "PRI * HTTP/2.1", Verdict::Match, 14);
    settles(all([http2(), tls()]), "P", Verdict::NoMatch, 1);
    settles(any_of([tls(), http1()]), "GET / HTTP/1.0\r\n", Verdict::Match, 16);
}

#[test]
fn closures() {
    let long_line = || {
        prefix_fn(|bytes| match bytes.iter().position(|byte| *byte == b'\n') {
            Some(at) if at >= 10 => Verdict::Match,
            Some(_) => Verdict::NoMatch,
            None => Verdict::NeedMore,
        })
    };
    settles(long_line(), "0123456789\n", Verdict::Match, 11);
    settles(long_line(), "012345\n", Verdict::NoMatch, 7);
    settles(long_line(), "012345", Verdict::NeedMore, 6);
    settles(long_line(), vec![b'x'; 5_000], Verdict::NoMatch, 4_096);
    let many_fields = || {
        facts_fn(|facts| match facts.request() {
            Fact::Present(request) if request.fields().count() > 2 => Verdict::Match,
            Fact::Present(_) | Fact::Absent => Verdict::NoMatch,
            Fact::Unknown => Verdict::NeedMore,
        })
    };
    takes(many_fields(), get("/", "A: 1\r\nB: 2\r\nC: 3\r\n"));
    refuses(many_fields(), get("/", "A: 1\r\nB: 2\r\n"));
    takes(many_fields(), http2_get("/", &[("a", "1"), ("b", "2"), ("c", "3")]));
    // One that can not make up its mind has said no when there is nothing more to learn.
    let undecided = || facts_fn(|_| Verdict::NeedMore);
    settles(undecided(), "GET / HTTP/1.1\r\n\r\n", Verdict::NoMatch, 18);
    settles(undecided(), b"\xff", Verdict::NoMatch, 1);
}

/// What decides may stand in any CONTINUATION, behind any padding, however it was compressed.
#[test]
fn the_same_request_in_every_dress() {
    use oneport_core::wire::hpack::{Encoder, Field};

    let fields = GRPC_CALL.iter().map(|(name, value)| Field {
        name: name.as_bytes(),
        value: value.as_bytes(),
        never_indexed: false,
    });
    let mut compressed = Vec::new();
    Encoder::new().encode(fields, &mut compressed);
    for block in [literals(GRPC_CALL), compressed] {
        for padding in [None, Some(0), Some(7), Some(255)] {
            for priority in [false, true] {
                for cuts in [vec![], vec![0], vec![0, 0, 3, 3], vec![block.len() - 1]] {
                    let shape = Shape { padding, priority, cuts, has_body: true };
                    let opening = Client::http2().settings(&[]).block(1, &block, &shape).bytes();
                    takes(
                        all([grpc(), authority("a.example"), path_prefix("/grpc.health.v1.Health")]),
                        opening,
                    );
                }
            }
        }
    }
}

/// The words of the command line, and what its `check` warns about.
#[test]
fn words_and_warnings() {
    for (matcher, word, differs) in [
        (grpc(), "grpc", false),
        (grpc_service("p.S"), "grpc:p.S", true),
        (http(), "http", false),
        (authority("A.example."), "host:a.example", true),
        (path("/x"), "path:/x", true),
        (path_prefix("/x/"), "path:/x/*", true),
        (method("GET"), "method:GET", true),
        (header("x", present()), "header:x", true),
        (header("x", is("y")), "header:x=y", true),
        (header("x", starts_with("y")), "header:x=y*", true),
        (sni("A.example"), "sni:a.example", false),
        (alpn("h2"), "alpn:h2", false),
        (all([grpc(), !path("/x")]), "grpc,!path:/x", true),
        (any(), "any", false),
    ] {
        assert_eq!(matcher.to_string(), word);
        assert_eq!(matcher.looks_at_requests(), differs, "{word}");
    }
}
