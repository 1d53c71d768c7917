//! Facts, phases and replies in words.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use oneport_core::wire::frame::{flag, ErrorCode, Head, Kind, HEAD_LEN};
use oneport_core::wire::hpack::{self, Decoder};
use oneport_core::wire::settings::entries;
use oneport_core::{Fact, Facts, HttpVersion, Phase, Refusal, Reply, Request};

use crate::greeting::name_of;

/// What a phase means for a reader.
pub(super) const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Silent => "connected, no byte yet",
        Phase::Opening => "some bytes, not HTTP/2 or not yet",
        Phase::Http2Settings => "the HTTP/2 preface is there, the client's SETTINGS are not",
        Phase::Http2Waiting => "HTTP/2 with SETTINGS, no request yet",
        Phase::Http2Idle => "HTTP/2, greeted, no request yet",
        Phase::Http2Headers => "HTTP/2, the headers of a request have begun",
        Phase::Delivery => "decided",
        _ => "another phase",
    }
}

/// All facts, one a line.
pub(super) fn facts(facts: &Facts) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:10} {value}");
    };
    line("http/1", word(&facts.http1()));
    line("http/2", word(&facts.http2()));
    match facts.tls() {
        Fact::Present(hello) => {
            let alpn: Vec<_> = hello.alpn().map(|protocol| protocol.escape_ascii().to_string()).collect();
            let versions: Vec<_> = hello.supported_versions().filter_map(tls_version).collect();
            line("tls", "yes, a whole ClientHello");
            line(
                "  sni",
                &hello.sni().map_or_else(|| "none".to_owned(), |sni| sni.escape_debug().to_string()),
            );
            line("  alpn", &if alpn.is_empty() { "none".to_owned() } else { alpn.join(", ") });
            let newest = tls_version(hello.max_version()).unwrap_or("unknown");
            line("  version", &if versions.is_empty() { newest.to_owned() } else { versions.join(", ") });
        }
        other => line("tls", word(&other)),
    }
    match facts.request() {
        Fact::Present(_) => line("request", "yes, its whole head"),
        _ if facts.request_line().is_present() => line("request", "its first line; the rest is missing"),
        other => line("request", word(&other)),
    }
    if let Fact::Present(request) = facts.request_line() {
        request_lines(request, &mut line);
    }
    if let Some(bound) = facts.exceeded() {
        line("exceeded", &format!("--{}", crate::outcome::name_of(bound)));
    }
    text
}

fn request_lines(request: &Request, line: &mut impl FnMut(&str, &str)) {
    let version = match request.version() {
        HttpVersion::Http1 => "HTTP/1",
        HttpVersion::Http2 => "HTTP/2",
    };
    line("", &format!("{} {} {version}", request.method().escape_ascii(), request.target().escape_ascii()));
    if let Some(authority) = request.authority() {
        line("  host", &authority.escape_ascii().to_string());
    }
    let kinds = [("gRPC", request.is_grpc()), ("gRPC-Web", request.is_grpc_web())];
    for (kind, _) in kinds.iter().filter(|(_, holds)| *holds) {
        line("  kind", kind);
    }
    for (name, value) in request.fields() {
        line("", &format!("{}: {}", name.escape_ascii(), value.escape_ascii()));
    }
}

fn word<T>(fact: &Fact<T>) -> &'static str {
    match fact {
        Fact::Absent => "no",
        Fact::Present(_) => "yes",
        Fact::Unknown => "not known yet",
    }
}

/// `None` for values that stand in a hello only to keep servers flexible (RFC 8701).
fn tls_version(version: u16) -> Option<&'static str> {
    match version {
        0x0300 => Some("SSL 3.0"),
        0x0301 => Some("TLS 1.0"),
        0x0302 => Some("TLS 1.1"),
        0x0303 => Some("TLS 1.2"),
        0x0304 => Some("TLS 1.3"),
        _ => None,
    }
}

/// What is written to the client.
pub(super) fn reply(reply: &Reply) -> String {
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    match reply {
        Reply::Refusal(Refusal::Http1 { .. }) => {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            format!("{} ({} bytes)", line.escape_ascii(), bytes.len())
        }
        Reply::Refusal(Refusal::Tls { alert }) => format!("TLS alert {}", alert_name(*alert)),
        _ => frames(&bytes),
    }
}

fn alert_name(alert: u8) -> String {
    let name = match alert {
        49 => "access_denied",
        80 => "internal_error",
        112 => "unrecognized_name",
        120 => "no_application_protocol",
        _ => "",
    };
    format!("{name} ({alert})")
}

/// HTTP/2 frames, one behind the other.
fn frames(mut bytes: &[u8]) -> String {
    let mut said = Vec::new();
    while let Some(head) = Head::peek(bytes) {
        let end = bytes.len().min(head.frame_len());
        let payload = bytes.get(HEAD_LEN..end).unwrap_or_default();
        said.push(frame(&head, payload));
        bytes = &bytes[end..];
    }
    said.join(", then ")
}

fn frame(head: &Head, payload: &[u8]) -> String {
    match head.kind {
        Kind::SETTINGS if head.has(flag::ACK) => "SETTINGS ACK".to_owned(),
        Kind::SETTINGS => {
            let settings: Vec<_> = entries(payload)
                .map(|setting| format!("{}={}", name_of(setting.id), setting.value))
                .collect();
            format!(
                "SETTINGS {}",
                if settings.is_empty() { "(empty)".to_owned() } else { settings.join(" ") }
            )
        }
        Kind::PING => format!("PING ACK {}", payload.escape_ascii()),
        Kind::HEADERS => format!("HEADERS on stream {}: {}", head.stream, fields(payload)),
        Kind::RST_STREAM => format!("RST_STREAM {} on stream {}", error(payload), head.stream),
        Kind::GOAWAY => {
            let last = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
            format!("GOAWAY {} (last stream {last})", error(payload.get(4..).unwrap_or_default()))
        }
        Kind(kind) => format!("a frame of type {kind:#x}"),
    }
}

fn error(bytes: &[u8]) -> String {
    let code = bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    match ErrorCode(code) {
        ErrorCode::NO_ERROR => "NO_ERROR".to_owned(),
        ErrorCode::PROTOCOL_ERROR => "PROTOCOL_ERROR".to_owned(),
        ErrorCode::FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR".to_owned(),
        ErrorCode::COMPRESSION_ERROR => "COMPRESSION_ERROR".to_owned(),
        ErrorCode::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM".to_owned(),
        ErrorCode(code) => format!("error {code:#x}"),
    }
}

/// The fields of one of the mux's own header blocks.
fn fields(block: &[u8]) -> String {
    let limits = hpack::Limits { max_list_size: 4_096, max_string_len: 4_096 };
    let mut fields = Vec::new();
    let decoded = Decoder::new(hpack::DEFAULT_TABLE_SIZE).decode(block, &limits, |field| {
        fields.push(format!("{}: {}", field.name.escape_ascii(), field.value.escape_ascii()));
        ControlFlow::Continue(())
    });
    if decoded.is_err() {
        fields.push("(undecodable)".to_owned());
    }
    fields.join(", ")
}
