//! What clients say, made by hand: for those that stop in the middle of it, and those that no library would let do what they do.

/// The client's half of the preface (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 §6).
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const CONTINUATION: u8 = 0x9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// Paths of requests that are made here begin like this. Many of them are cut or taken back before anybody has read them: whether the log
/// has them says nothing, and their sheer number would bury those that were asked by [`Channel`](super::h2::Channel).
pub(crate) const BY_HAND: &str = "/by-hand/";

/// Preface and an empty SETTINGS.
pub(crate) fn h2_opening() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()
}

/// A header block without compression (RFC 7541 §6.2.2) of the path `/by-hand/NAME`; values are shorter than 127 bytes.
pub(crate) fn block(name: &str, is_grpc: bool) -> Vec<u8> {
    let path = format!("{BY_HAND}{name}");
    let mut fields = vec![
        (":method", if is_grpc { "POST" } else { "GET" }),
        (":scheme", "http"),
        (":path", path.as_str()),
        (":authority", "soak.test"),
    ];
    if is_grpc {
        fields.extend([("content-type", "application/grpc"), ("te", "trailers")]);
    }
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A whole request without a body, by an eager client.
pub(crate) fn h2_request(name: &str, is_grpc: bool) -> Vec<u8> {
    [h2_opening(), frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(name, is_grpc))].concat()
}

pub(crate) fn http1_request(host: &str, path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let (method, length) = match body.len() {
        0 => ("GET", String::new()),
        n => ("POST", format!("Content-Length: {n}\r\n")),
    };
    [format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}{fields}\r\n").as_bytes(), body].concat()
}

/// A ClientHello (RFC 8446 §4.1.2) in one record, with SNI and ALPN.
pub(crate) fn client_hello(name: &str, random: [u8; 8]) -> Vec<u8> {
    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
    }
    let sni = [&[0, 0][..], &sized(&sized(&[&[0][..], &sized(name.as_bytes())].concat()))].concat();
    let alpn = [&[0, 16][..], &sized(&sized(b"\x02h2\x08http/1.1"))].concat();
    let extensions = sized(&[sni, alpn].concat());
    let hello = [&[3, 3][..], &random.repeat(4), &[0], &sized(&[0x13, 1]), &[1, 0], &extensions].concat();
    let handshake = [&[1, 0][..], &sized(&hello)].concat();
    [&[22, 3, 1][..], &sized(&handshake)].concat()
}

/// A StartupMessage of PostgreSQL.
pub(crate) const POSTGRES: &[u8] = b"\0\0\0\x13\0\x03\0\0user\0soak\0\0";
/// An SSLRequest.
pub(crate) const POSTGRES_SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
/// The greeting of a SOCKS 5 client that needs no authentication.
pub(crate) const SOCKS5: &[u8] = b"\x05\x01\0";
pub(crate) const SSH: &[u8] = b"SSH-2.0-endurance_client\r\n";

/// The openings of all protocols, and of none.
pub(crate) fn openings() -> Vec<Vec<u8>> {
    vec![
        http1_request("soak.test", "/opening", "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", b""),
        http1_request("soak.test", "/opening", "", b"and a body"),
        h2_request("opening", false),
        h2_request("Opening", true),
        client_hello("soak.test", [7; 8]),
        SSH.to_vec(),
        POSTGRES.to_vec(),
        POSTGRES_SSL.to_vec(),
        SOCKS5.to_vec(),
        b"\xff\xfe nobody speaks this".to_vec(),
    ]
}
