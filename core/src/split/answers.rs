//! Answers that the machine gives itself, in the words that the request's protocol expects.

use super::core::Core;
use super::peer::Peer;
use super::stream::Response;
use crate::wire::frame::ErrorCode;
use crate::wire::hpack::Field;

/// Why a request has no other answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    http: &'static str,
    grpc: &'static str,
    message: &'static str,
}

impl Answer {
    pub(super) const BACKEND_DOWN: Self =
        Self { http: "502", grpc: "14", message: "oneport: the backend is down" };
    pub(super) const BAD_RESPONSE: Self =
        Self { http: "502", grpc: "14", message: "oneport: the backend's response is malformed" };
    pub(super) const FORBIDDEN: Self =
        Self { http: "403", grpc: "7", message: "oneport: this route is closed" };
    pub(super) const NO_EXTENDED_CONNECT: Self =
        Self { http: "501", grpc: "12", message: "oneport: the backend does not take extended CONNECT" };
    pub(super) const NO_ROUTE: Self =
        Self { http: "404", grpc: "12", message: "oneport: no route takes this request" };
    pub(super) const RESPONSE_TOO_LARGE: Self =
        Self { http: "502", grpc: "8", message: "oneport: the response is larger than the client takes" };
    pub(super) const TOO_LARGE: Self =
        Self { http: "431", grpc: "8", message: "oneport: the request is too large" };

    /// gRPC: trailers-only, with status and message. Else: a status and nothing else.
    pub(super) fn write(self, id: u32, is_grpc: bool, to: &mut Peer) {
        let field = |name, value: &'static str| Field { name, value: value.as_bytes(), never_indexed: false };
        if is_grpc {
            let fields = [
                field(b":status", "200"),
                field(b"content-type", "application/grpc"),
                field(b"grpc-status", self.grpc),
                field(b"grpc-message", self.message),
            ];
            to.put_head(id, fields.into_iter(), true);
        } else {
            to.put_head(id, [field(b":status", self.http)].into_iter(), true);
        }
    }
}

impl<R> Core<R> {
    /// Answers a request that is known as a stream, unless a response has begun: that one is reset.
    pub(super) fn answer(&mut self, id: u32, answer: Answer) {
        self.reset_link(id, ErrorCode::CANCEL);
        let Some(stream) = self.streams.get(id) else { return };
        if stream.response == Response::Final {
            return self.abort(id, ErrorCode::INTERNAL_ERROR, ErrorCode::CANCEL);
        }
        let (is_grpc, ends) = (stream.is_grpc, stream.up.is_ended);
        self.forget(id);
        self.answer_unknown(id, is_grpc, ends, answer);
    }

    /// Answers a request that is no stream. A client that goes on with the body is told to stop (RFC 9113 §8.1).
    pub(super) fn answer_unknown(&mut self, id: u32, is_grpc: bool, ends: bool, answer: Answer) {
        answer.write(id, is_grpc, &mut self.client);
        if !ends {
            self.reset_client(id, ErrorCode::NO_ERROR);
        }
    }
}
