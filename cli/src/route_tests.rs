//! The grammar as a whole: every mistake at its place, and any valid route read back as it was printed.

use proptest::prelude::*;

use super::*;
use crate::term::{FieldValue, Term};

/// The message and the marked part of a route that is refused.
fn fault(text: &str) -> (String, String) {
    let fault = Route::parse(text).unwrap_err();
    let at = fault.at.start.min(text.len())..fault.at.end.min(text.len());
    (fault.message, text.get(at).unwrap_or("<not between characters>").to_owned())
}

#[test]
fn every_term_of_the_grammar() {
    for text in [
        "grpc=a:1",
        "grpc:grpc.health.v1.Health=a:1",
        "grpc-web=a:1",
        "http1=a:1",
        "http2=a:1",
        "http=a:1",
        "websocket=a:1",
        "tls=a:1",
        "sni:*.example.org=a:1",
        "alpn:http/1.1=a:1",
        "host:a.example=a:1",
        "host:[::1]=a:1",
        "path:/x=a:1",
        "path:/x/=a:1",
        "path:/x/*=a:1",
        "path:/*=a:1",
        r"path:/a\x2a=a:1",
        "method:GET=a:1",
        "header:x-canary=a:1",
        "header:x-tenant=blue=a:1",
        r"header:x=a\=b\,c=a:1",
        "header:user-agent=kube-probe/*=a:1",
        "header:x==a:1",
        "ssh=close",
        "postgres=unix:/run/postgres.sock",
        "socks5=[::1]:1080",
        r"prefix:\x00\xffGET \,=a:1",
        "any=a:1",
        r"!tls,!header:x=1,path:/y=unix:/a\=b",
    ] {
        let route = Route::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        assert_eq!(route.to_string(), text);
        // Core's own name for it is never that of something else.
        assert_eq!(route.conditions.matcher().takes_everything(), text.starts_with("any"), "{text}");
    }
}

#[test]
fn what_reads_the_same_is_printed_in_one_way() {
    for (text, printed) in [
        ("host:A.Example.=a:1", "host:a.example=a:1"),
        // As clients write them (RFC 5952).
        ("host:[0:0::1]=a:1", "host:[::1]=a:1"),
        ("host:[2001:DB8:0::A]=a:1", "host:[2001:db8::a]=a:1"),
        ("header:X-Tenant=Blue=a:1", "header:x-tenant=Blue=a:1"),
        ("path:/x//*=a:1", "path:/x/*=a:1"),
        (r"\x67rpc=a:1", "grpc=a:1"),
        ("header:x=a=b=a:1", r"header:x=a\=b=a:1"),
    ] {
        assert_eq!(Route::parse(text).map(|route| route.to_string()), Ok(printed.to_owned()));
    }
}

#[test]
fn every_mistake_is_named_at_its_place() {
    for (text, part, marked) in [
        ("grpc", "here is no `=`", "grpc"),
        ("", "here is no `=`", ""),
        ("=a:1", "a term is missing here; `any` takes everything", ""),
        ("grpc,=a:1", "a term is missing", ""),
        ("grpc=", "the backend is missing", ""),
        ("grcp=a:1", "unknown term `grcp`; did you mean `grpc`?", "grcp"),
        ("grpcweb=a:1", "did you mean `grpc-web`?", "grpcweb"),
        ("tls,h2=a:1", "did you mean `http2`?", "h2"),
        ("*=a:1", "did you mean `any`?", "*"),
        ("authority:x=a:1", "did you mean `host:NAME`?", "authority"),
        ("GRPC=a:1", "did you mean `grpc`?", "GRPC"),
        ("grpc, http1=a:1", "did you mean `http1`?", " http1"),
        ("mysql=a:1", "the terms are alpn, any, grpc", "mysql"),
        ("!!grpc=a:1", "one `!` is enough", "!!"),
        ("!any=a:1", "`!any` takes nothing", "!any"),
        ("!=a:1", "a term is missing", ""),
        ("http2:x=a:1", "`http2` takes no value", "http2:x"),
        ("host=a:1", "`host` needs a value: host:NAME", "host"),
        ("host:=a:1", "`host` needs a value", "host:"),
        ("host:a.example:80=a:1", "without its port: `host:a.example`", "a.example:80"),
        ("host:a.*.b=a:1", "only in front", "a.*.b"),
        ("host:*=a:1", "only in front", "*"),
        ("host:a/b=a:1", "`path:/x` asks for the path", "a/b"),
        ("sni:ä.example=a:1", "Punycode", "ä.example"),
        ("path:x=a:1", "begins with `/`", "x"),
        ("path:/x*=a:1", "`path:/x/*`", "/x*"),
        ("path:/x?y=a:1", "without its query", "/x?y"),
        ("path:/a b=a:1", "no blank", "/a b"),
        ("method:get=a:1", "did you mean `method:GET`?", "get"),
        ("method:G T=a:1", "`G T` is no method", "G T"),
        ("header:host=x=a:1", "`host:NAME` works on both", "host"),
        ("header::path=x=a:1", "`path:/x` works on both", ":path"),
        ("header:a b=a:1", "`a b` is no name of a header field", "a b"),
        ("header:x= y=a:1", "nor ends with a blank", " y"),
        (r"header:x=\xff=a:1", "do not make up UTF-8", r"\xff"),
        ("grpc:a.B/Check=a:1", "without its method: `grpc:a.B`", "a.B/Check"),
        ("grpc:a..b=a:1", "is no name of a gRPC service", "a..b"),
        (r"prefix:\q=a:1", r"`\q` is no escape", r"\q"),
        ("grpc=localhost", "`localhost` has no port", "localhost"),
        ("grpc=a:http", "`http` is no port", "http"),
        ("header:x=blue", "`blue` has no port", "blue"),
    ] {
        let (message, at) = fault(text);
        assert!(message.contains(part), "{text}: {message}");
        assert_eq!(at, marked, "{text}: {message}");
    }
}

#[test]
fn a_mistake_behind_an_escape_is_marked_where_it_was_written() {
    assert_eq!(fault(r"ssh=a\,b:http").1, "http");
    assert_eq!(fault(r"ssh=\x61:x\x79").1, r"x\x79");
    // The decoded text counts: this is a Unix socket.
    let route = Route::parse(r"ssh=unix\x3aa\=b").unwrap();
    assert_eq!(route.to_string(), r"ssh=unix:a\=b");
}

fn name() -> impl Strategy<Value = String> {
    "(\\*\\.)?[a-z0-9_-]{1,8}(\\.[a-z0-9]{1,5}){0,2}"
}

/// Text without line ends and NUL, with neither blank at its ends.
fn field_text() -> impl Strategy<Value = String> {
    "[^\\r\\n\\x00\\s]([^\\r\\n\\x00]{0,6}[^\\r\\n\\x00\\s])?|"
}

fn path_text() -> impl Strategy<Value = String> {
    "(/[^\\s/?#\\x00-\\x20\\x7f\\u{80}-\\u{9f}]{0,5}){1,3}"
}

fn term() -> impl Strategy<Value = Term> {
    prop_oneof![
        proptest::sample::select(vec![
            Term::Grpc,
            Term::GrpcWeb,
            Term::Http,
            Term::Http1,
            Term::Http2,
            Term::Postgres,
            Term::Socks5,
            Term::Ssh,
            Term::Tls,
            Term::WebSocket,
        ]),
        proptest::collection::vec(any::<u8>(), 1..9).prop_map(Term::Alpn),
        proptest::collection::vec(any::<u8>(), 1..9).prop_map(Term::Prefix),
        "[a-z_][a-zA-Z0-9_]{0,5}(\\.[A-Z][a-z0-9]{0,3}){0,2}".prop_map(Term::GrpcService),
        name().prop_map(Term::Host),
        name().prop_map(Term::Sni),
        "[A-Z!#$%&'*+.^_`|~-]{1,6}".prop_map(Term::Method),
        path_text().prop_map(Term::Path),
        path_text().prop_map(|path| Term::PathPrefix(path.trim_end_matches('/').to_owned())),
        ("x-[a-z0-9!#$%&'*+.^_`|~-]{0,6}", field_text())
            .prop_map(|(name, value)| Term::Header(name, FieldValue::Is(value))),
        ("x-[a-z0-9!#$%&'*+.^_`|~-]{0,6}", field_text())
            .prop_map(|(name, value)| Term::Header(name, FieldValue::StartsWith(value))),
        "x-[a-z0-9!#$%&'*+.^_`|~-]{0,6}".prop_map(|name| Term::Header(name, FieldValue::Present)),
    ]
}

fn backend() -> impl Strategy<Value = Backend> {
    let server = prop_oneof![
        (any::<std::net::IpAddr>(), 1..=u16::MAX)
            .prop_map(|(ip, port)| Address::Ip(std::net::SocketAddr::new(ip, port))),
        ("[a-z][a-z0-9_-]{0,8}(\\.[a-z]{1,5}){0,2}", 1..=u16::MAX)
            .prop_map(|(host, port)| Address::Name { host, port }),
        "[^\\x00]{1,20}".prop_map(|path| Address::Unix(path.into())),
    ];
    prop_oneof![Just(Backend::Close), server.prop_map(Backend::Server)]
}

proptest! {
    #[test]
    fn a_printed_route_is_read_back(
        conditions in proptest::collection::vec((any::<bool>(), term()), 1..4),
        backend in backend(),
    ) {
        let conditions = conditions
            .into_iter()
            .map(|(is_negated, term)| Condition { is_negated, term })
            .collect();
        let route = Route { conditions: Match(conditions), backend };
        let text = route.to_string();
        prop_assert_eq!(Route::parse(&text), Ok(route), "{}", text);
    }

    #[test]
    fn no_text_panics_and_every_place_can_be_shown(text in "\\PC*|[a-z0-9:=,!*\\\\/.\\[\\]x]*|.*") {
        match Route::parse(&text) {
            Ok(route) => prop_assert_eq!(Route::parse(&route.to_string()), Ok(route)),
            Err(fault) => {
                prop_assert!(fault.at.start <= fault.at.end && fault.at.end <= text.len() + 1, "{:?}", fault);
                prop_assert!(fault.in_argument("--route", &text).contains('^'));
            }
        }
    }
}
