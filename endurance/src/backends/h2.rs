//! A strict server of HTTP/2 that answers with what it got.

use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::RecvStream;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{before_a_reset, delay, Gate};

/// Serves a connection to its end. `true` if it is to be reset.
pub(super) async fn serve<T>(name: &'static str, io: T, may_be_cut: bool, gate: &Arc<Gate>) -> bool
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(mut connection) = h2::server::handshake(io).await else { return may_be_cut };
    while let Some(request) = connection.accept().await {
        let Ok((request, respond)) = request else {
            // It breaks off when it can not write any more, which is when it is cut.
            before_a_reset().await;
            return may_be_cut;
        };
        let gate = gate.clone();
        tokio::spawn(async move {
            gate.pass().await;
            let _ = answer(name, request, respond).await;
        });
    }
    false
}

async fn answer(
    name: &'static str,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let is_grpc = text("content-type").is_some_and(|value| value.starts_with("application/grpc"));
    delay(text("x-delay-ms")).await;
    let mut response = Response::new(());
    let fields = response.headers_mut();
    fields.insert("x-backend", HeaderValue::from_static(name));
    if let Some(path) = head.uri.path_and_query().and_then(|path| HeaderValue::from_str(path.as_str()).ok()) {
        fields.insert("x-path", path);
    }
    let mut out = respond.send_response(response, false)?;
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        out.send_data(part, false)?;
    }
    if is_grpc {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        out.send_trailers(trailers)
    } else {
        out.send_data(Bytes::new(), true)
    }
}
