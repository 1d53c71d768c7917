//! The REST half of the demo: four small resources, over HTTP/1 and HTTP/2.

use std::fmt::Write as _;
use std::io;

use axum::extract::{Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Uri, Version};
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::Listener;
use axum::Router;

const INDEX: &str = "\
oneport demo: REST and gRPC on one port
  GET  /hello/{name}  a greeting
  POST /echo          the body, streamed back as it comes
  GET  /headers       the request as the server sees it
";

/// Serves the connections of `listener`, for ever.
///
/// # Errors
/// None today; `axum::serve` reserves the right.
pub(crate) async fn rest<L>(listener: L) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let router = Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/hello/{name}", get(|Path(name): Path<String>| async move { format!("Hello, {name}!\n") }))
        .route("/echo", post(echo))
        .route("/headers", get(headers));
    axum::serve(listener, router).await
}

async fn echo(request: Request) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let mut response = Response::new(request.into_body());
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

async fn headers(method: Method, uri: Uri, version: Version, headers: HeaderMap) -> String {
    let mut text = format!("{method} {uri} {version:?}\n");
    for (name, value) in &headers {
        let _ = writeln!(text, "{name}: {}", value.as_bytes().escape_ascii());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_core::wire::frame::{encode_frame, flag, Head, Kind, PREFACE};
    use oneport_core::wire::hpack::encode_field;
    use oneport_core::wire::settings::encode_settings;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    async fn serve() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(rest(listener));
        TcpStream::connect(address).await.unwrap()
    }

    async fn http1(request: &str) -> String {
        let mut stream = serve().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_resources_over_http1() {
        for (request, parts) in [
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ["200 OK", "GET  /hello/{name}"]),
            ("GET /hello/you HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ["200 OK", "Hello, you!"]),
            ("GET /headers HTTP/1.1\r\nHost: a\r\nX-B: c\r\nConnection: close\r\n\r\n", ["HTTP/1.1", "x-b: c"]),
            (
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: x/y\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
                ["content-type: x/y", "abc"],
            ),
            ("GET /no HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ["404 Not Found", "\r\n\r\n"]),
        ] {
            let answer = http1(request).await;
            for part in parts {
                assert!(answer.contains(part), "{request}\n{answer}");
            }
        }
    }

    #[tokio::test]
    async fn http2_with_prior_knowledge_is_spoken() {
        let mut stream = serve().await;
        let mut opening = PREFACE.to_vec();
        encode_settings(&mut opening, &[]);
        let mut block = Vec::new();
        for (name, value) in [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")] {
            encode_field(&mut block, name.as_bytes(), value.as_bytes());
        }
        encode_frame(&mut opening, Kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &block);
        stream.write_all(&opening).await.unwrap();
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let head = Head::decode(&head);
            let mut payload = vec![0; head.length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            if (head.kind, head.stream) == (Kind::HEADERS, 1) {
                // `:status 200`, the static table's entry 8.
                assert_eq!(payload.first(), Some(&0x88));
                return;
            }
            assert_ne!(head.kind, Kind::GOAWAY);
        }
    }
}
