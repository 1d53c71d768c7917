//! axum as a backend: the small web server that all HTTP backends imitate. A gRPC call is answered too: an echo of
//! the body is an echo of its messages.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use axum::Router;
use futures_util::future::ready;
use futures_util::stream::{self, Stream, StreamExt};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::net::TcpListener;

use crate::{pattern, Outcome, BIDI, BIG, FAIL, HANG, HEALTH, SERVING, UNARY};

pub async fn serve(listener: TcpListener) -> Outcome {
    let listener = listener.tap_io(|io| {
        let _ = io.set_nodelay(true);
    });
    Ok(axum::serve(listener, Router::new().fallback(answer)).await?)
}

async fn answer(request: Request) -> Response {
    let kind = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if kind.starts_with(b"application/grpc") {
        grpc(request)
    } else {
        rest(request)
    }
}

fn rest(request: Request) -> Response {
    let peer = [("x-peer", "rest")];
    match request.uri().path() {
        "/hello" => (peer, "hello\n").into_response(),
        "/big" => (peer, pattern(BIG)).into_response(),
        "/echo" => (peer, request.into_body()).into_response(),
        // Promises more than it gives, then breaks off.
        "/cut" => {
            let pieces = stream::iter([Ok(Bytes::from(pattern(1000))), Err("cut")]);
            // A pause, so that the head and the first piece go out before.
            let pieces = pieces.then(|piece| async {
                if piece.is_err() {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                piece
            });
            (peer, [("content-length", "100000")], Body::from_stream(pieces)).into_response()
        }
        _ => (StatusCode::NOT_FOUND, peer, "not found\n").into_response(),
    }
}

fn grpc(request: Request) -> Response {
    let kind = [("content-type", "application/grpc")];
    let peer = [("x-peer", "echo")];
    match request.uri().path() {
        FAIL => {
            (kind, [("grpc-status", "9"), ("grpc-message", "as asked"), ("x-trailer", "end")]).into_response()
        }
        HANG => {
            (kind, peer, Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>())).into_response()
        }
        HEALTH => {
            let message = [&[0, 0, 0, 0, 2], SERVING].concat();
            (kind, peer, with_trailers(stream::iter([Ok(message.into())]))).into_response()
        }
        UNARY | BIDI => (kind, peer, with_trailers(request.into_body().into_data_stream())).into_response(),
        _ => (kind, [("grpc-status", "12")]).into_response(),
    }
}

fn with_trailers(data: impl Stream<Item = Result<Bytes, axum::Error>> + Send + 'static) -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("x-trailer", HeaderValue::from_static("end"));
    let end = stream::iter([Ok(Frame::trailers(trailers))]);
    // A request may end with an empty DATA; h2 clients count those that come back as an attack.
    let data = data.filter(|piece| ready(!matches!(piece, Ok(bytes) if bytes.is_empty())));
    Body::new(StreamBody::new(data.map(|piece| piece.map(Frame::data)).chain(end)))
}
