//! T-ct (C-22): which content types are gRPC, by the grammar of its own protocol. A prefix that is too short takes
//! `application/grpc-web`, an exact one misses `application/grpc+proto`.

use oneport_core::testing::Client;

use crate::support::drive::tell;
use crate::support::scene::{Scene, To};
use crate::support::terms::Term;

const TABLE: [(&str, bool); 40] = [
    ("application/grpc", true),
    ("application/grpc+proto", true),
    ("application/grpc+json", true),
    ("application/grpc+thrift", true),
    ("application/grpc+", true),
    ("application/grpc;", true),
    ("application/grpc;charset=utf-8", true),
    ("application/grpc; charset=utf-8", true),
    ("application/grpc;proto", true),
    ("application/grpc+proto;charset=utf-8", true),
    ("application/grpc+proto; v=1", true),
    ("APPLICATION/GRPC", true),
    ("Application/Grpc", true),
    ("application/GRPC+Proto", true),
    ("application/grpc+vnd.example.v1", true),
    ("application/grpc-web", false),
    ("application/grpc-web+proto", false),
    ("application/grpc-web;charset=utf-8", false),
    ("application/grpc-web-text", false),
    ("application/grpc-web-text+proto", false),
    ("application/grpcfoo", false),
    ("application/grpc1", false),
    ("application/grpc.v1", false),
    ("application/grpc/", false),
    ("application/grpc,", false),
    ("application/grpc_", false),
    ("application/grpc=", false),
    ("application/grp", false),
    ("application/gRP", false),
    ("application/", false),
    ("application", false),
    ("", false),
    ("grpc", false),
    (" application/grpc", false),
    ("xapplication/grpc", false),
    ("text/grpc", false),
    ("application/json", false),
    ("application/proto", false),
    ("application/connect+proto", false),
    ("application/x-www-form-urlencoded", false),
];

fn is_grpc(method: &str, fields: &[(&str, &str)]) -> bool {
    let start = [(":method", method), (":scheme", "http"), (":path", "/p.S/M")];
    let client = Client::http2().settings(&[]).headers(1, &[&start[..], fields].concat());
    tell(&Scene::new([Term::Grpc], client).otherwise()).to() == Some(To::Route(0))
}

#[test]
fn content_types() {
    for (value, wanted) in TABLE {
        assert_eq!(is_grpc("POST", &[("content-type", value)]), wanted, "{value:?}");
    }
}

/// gRPC is POST (gRPC over HTTP/2, "Requests"), in that case.
#[test]
fn other_methods_are_not_grpc() {
    for method in ["GET", "PUT", "post", "POST ", "OPTIONS"] {
        assert!(!is_grpc(method, &[("content-type", "application/grpc")]), "{method}");
    }
}

#[test]
fn the_first_content_type_counts() {
    let (grpc, json) = (("content-type", "application/grpc"), ("content-type", "application/json"));
    assert!(is_grpc("POST", &[("te", "trailers"), grpc, json]));
    assert!(!is_grpc("POST", &[json, grpc]));
    assert!(!is_grpc("POST", &[("te", "trailers")]), "none");
    assert!(!is_grpc("POST", &[("x-content-type", "application/grpc")]));
}

/// There is no gRPC on HTTP/1, whatever it says of itself.
#[test]
fn http1_is_never_grpc() {
    let client = Client::silent().raw("POST /p.S/M HTTP/1.1\r\nContent-Type: application/grpc\r\n\r\n");
    let seen = tell(&Scene::new([Term::Grpc], client.pause(crate::support::ms(1)).raw("body")).otherwise());
    assert_eq!((seen.to(), seen.at), (Some(To::Otherwise), crate::support::ms(0)));
}
