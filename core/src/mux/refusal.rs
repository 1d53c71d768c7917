//! What a client that gets no backend is told, in its own protocol.
//!
//! Once a first request was read, the refusal answers IT, so that the client neither retries nor guesses. A GOAWAY that says
//! "nothing was processed" makes clients try again and hides the reason; it is for connections without a request.

use super::{Greeting, Outcome, Phase, Reason};
use crate::facts::{Bound, Fact, Facts, HttpVersion, Request};
use crate::wire::frame::{encode_frame, encode_goaway, flag, ErrorCode, Kind};
use crate::wire::hpack::encode_field;
use crate::wire::settings::{encode_settings, encode_settings_ack};

/// The last words to a client.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// A complete HTTP/1.1 response with `Connection: close`.
    Http1 {
        /// The status code.
        status: u16,
        /// Whether the request was HEAD, whose answer has no body (RFC 9110 §9.3.2).
        is_head: bool,
    },
    /// HTTP/2: the mux's SETTINGS if it has not sent them, a response if there was a request, and GOAWAY.
    Http2 {
        /// SETTINGS and the number of acknowledgements, if the client was not greeted: the first frame of a server must be
        /// SETTINGS (RFC 9113 §3.4).
        greeting: Option<(Greeting, u32)>,
        /// The answer to the first request.
        response: Option<Response>,
        /// The code of the GOAWAY; its last stream is the one of the response, or 0.
        code: ErrorCode,
    },
    /// A fatal TLS alert (RFC 8446 §6.2).
    Tls {
        /// The alert's description.
        alert: u8,
    },
}

/// The answer to the first request of an HTTP/2 connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Response {
    /// The stream of the request.
    pub stream: u32,
    /// What it says.
    pub kind: ResponseKind,
    /// Whether the client may still be sending a body; it is told not to (RFC 9113 §8.1).
    pub stops_body: bool,
}

/// What the answer to a request says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ResponseKind {
    /// Trailers-only gRPC, with this status code and message.
    Grpc {
        /// `grpc-status`.
        status: u8,
        /// `grpc-message`.
        message: &'static str,
    },
    /// HTTP with this status code and nothing else.
    Http {
        /// `:status`.
        status: u16,
    },
}

/// TLS alerts (RFC 8446 §6, RFC 7301 §3.2).
mod alert {
    pub(super) const ACCESS_DENIED: u8 = 49;
    pub(super) const INTERNAL_ERROR: u8 = 80;
    pub(super) const NO_APPLICATION_PROTOCOL: u8 = 120;
    pub(super) const UNRECOGNIZED_NAME: u8 = 112;
}

impl Refusal {
    /// The words for a connection that ends like this; `None` where nothing can be said that its client would understand.
    /// `owed` is the mux's SETTINGS and acknowledgements if it has not said them.
    pub(crate) fn of(outcome: Outcome, facts: &Facts, owed: Option<(Greeting, u32)>) -> Option<Self> {
        if facts.http2().is_present() {
            return Some(Self::http2(outcome, facts, owed));
        }
        if let Fact::Present(request) = facts.request_line() {
            let status = http_status(outcome, facts.request().map(|_| ()));
            return Some(Self::Http1 { status, is_head: request.method() == b"HEAD" });
        }
        if outcome == Outcome::Refused(Reason::TooLarge(Bound::Http1Head)) {
            return Some(Self::Http1 { status: 431, is_head: false });
        }
        let is_oversized_hello = outcome == Outcome::Refused(Reason::TooLarge(Bound::ClientHello));
        match facts.tls() {
            Fact::Present(hello) => Some(Self::Tls {
                alert: match outcome {
                    Outcome::Refused(Reason::Forbidden) => alert::ACCESS_DENIED,
                    Outcome::Refused(Reason::NoRoute) if hello.sni().is_some() => alert::UNRECOGNIZED_NAME,
                    Outcome::Refused(Reason::NoRoute) if hello.alpn().next().is_some() => {
                        alert::NO_APPLICATION_PROTOCOL
                    }
                    _ => alert::INTERNAL_ERROR,
                },
            }),
            Fact::Absent | Fact::Unknown if is_oversized_hello => {
                Some(Self::Tls { alert: alert::INTERNAL_ERROR })
            }
            Fact::Absent | Fact::Unknown => None,
        }
    }

    fn http2(outcome: Outcome, facts: &Facts, greeting: Option<(Greeting, u32)>) -> Self {
        let response = match facts.request() {
            Fact::Present(request) if request.version() == HttpVersion::Http2 => {
                Some(Response::of(outcome, request))
            }
            _ => None,
        };
        let code = match (outcome, facts.malformed()) {
            (_, Some(code)) => code,
            (Outcome::Refused(Reason::TooLarge(Bound::FrameSize)), _) => ErrorCode::FRAME_SIZE_ERROR,
            (Outcome::Refused(Reason::TooLarge(_)) | Outcome::TimedOut(Phase::Http2Headers), _) => {
                ErrorCode::ENHANCE_YOUR_CALM
            }
            _ => ErrorCode::NO_ERROR,
        };
        Self::Http2 { greeting, response, code }
    }

    /// Appends the bytes to write.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Http1 { status, is_head } => encode_http1(out, *status, *is_head),
            Self::Http2 { greeting, response, code } => {
                if let Some((settings, acks)) = greeting {
                    encode_settings(out, settings.entries());
                    for _ in 0..*acks {
                        encode_settings_ack(out);
                    }
                }
                if let Some(response) = response {
                    response.encode(out);
                }
                encode_goaway(out, response.map_or(0, |response| response.stream), *code);
            }
            Self::Tls { alert } => {
                const FATAL: u8 = 2;
                const ALERT_RECORD: [u8; 5] = [21, 3, 3, 0, 2];
                out.extend_from_slice(&ALERT_RECORD);
                out.extend_from_slice(&[FATAL, *alert]);
            }
        }
    }
}

impl Response {
    fn of(outcome: Outcome, request: &Request) -> Self {
        let kind = if request.is_grpc() {
            let (status, message) = grpc_status(outcome);
            ResponseKind::Grpc { status, message }
        } else {
            ResponseKind::Http { status: http_status(outcome, Fact::Present(())) }
        };
        Self { stream: request.stream(), kind, stops_body: !request.ends_stream() }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut block = Vec::with_capacity(96);
        match self.kind {
            ResponseKind::Grpc { status, message } => {
                encode_field(&mut block, b":status", b"200");
                encode_field(&mut block, b"content-type", b"application/grpc");
                encode_field(&mut block, b"grpc-status", status.to_string().as_bytes());
                encode_field(&mut block, b"grpc-message", message.as_bytes());
            }
            ResponseKind::Http { status } => {
                encode_field(&mut block, b":status", status.to_string().as_bytes());
            }
        }
        encode_frame(out, Kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, self.stream, &block);
        if self.stops_body {
            encode_frame(out, Kind::RST_STREAM, 0, self.stream, &ErrorCode::NO_ERROR.0.to_be_bytes());
        }
    }
}

/// The status for a request whose head is this far.
const fn http_status(outcome: Outcome, head: Fact<()>) -> u16 {
    match (outcome, head) {
        (Outcome::Refused(Reason::BackendDown | Reason::DeliveryTimeout), _) => 502,
        (Outcome::Refused(Reason::Forbidden), _) => 403,
        (Outcome::Refused(Reason::TooLarge(_)), _) => 431,
        (Outcome::Refused(Reason::NoRoute), Fact::Present(())) => 404,
        (Outcome::Refused(Reason::NoRoute), Fact::Absent) => 400,
        (Outcome::Refused(Reason::NoRoute), Fact::Unknown) | (Outcome::TimedOut(_), _) => 408,
        (
            Outcome::Refused(Reason::Overload) | Outcome::Left(_) | Outcome::Routed(_) | Outcome::Shutdown,
            _,
        ) => 503,
    }
}

/// `grpc-status` and `grpc-message` (gRPC, "Status codes and their use").
const fn grpc_status(outcome: Outcome) -> (u8, &'static str) {
    match outcome {
        Outcome::Refused(Reason::Forbidden) => (7, "oneport: this route is closed"),
        Outcome::Refused(Reason::NoRoute) => (12, "oneport: no route takes this request"),
        Outcome::Refused(Reason::TooLarge(_)) => (8, "oneport: the request is too large"),
        Outcome::Refused(Reason::BackendDown) => (14, "oneport: the backend is down"),
        Outcome::Refused(Reason::DeliveryTimeout) => (14, "oneport: the backend does not accept connections"),
        Outcome::Refused(Reason::Overload) => (14, "oneport: too many connections"),
        _ => (14, "oneport: shutting down"),
    }
}

fn encode_http1(out: &mut Vec<u8>, status: u16, is_head: bool) {
    let (phrase, body) = match status {
        400 => ("Bad Request", "oneport: the request is malformed\n"),
        403 => ("Forbidden", "oneport: this route is closed\n"),
        404 => ("Not Found", "oneport: no route takes this request\n"),
        408 => ("Request Timeout", "oneport: the request did not come in time\n"),
        431 => ("Request Header Fields Too Large", "oneport: the head of the request is too large\n"),
        502 => ("Bad Gateway", "oneport: the backend is down\n"),
        _ => ("Service Unavailable", "oneport: not now\n"),
    };
    let head = format!(
        "HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    if !is_head {
        out.extend_from_slice(body.as_bytes());
    }
}
