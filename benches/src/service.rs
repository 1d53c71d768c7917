//! What the servers of these measurements answer: a few bytes, a unary call, a call with many answers, a MiB in either direction.
//! There is as little above hyper as gRPC's rules allow, so that what stands below it shows.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{HeaderMap, HeaderValue, CONTENT_TYPE};
use hyper::{Request, Response};

/// Small answers.
pub const HELLO: &[u8] = b"hello\n";

/// The answer of a unary call: `HealthCheckResponse`, SERVING.
pub const ANSWER: &[u8] = b"\0\0\0\0\x02\x08\x01";

/// One of many answers: a message of 64 bytes.
pub const MESSAGE: &[u8] = b"\0\0\0\0\x400123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// How much [`DOWN`] and [`UP`] move.
pub const MIB: usize = 1 << 20;

/// A MiB as a response.
pub const DOWN: &str = "/down";

/// A MiB as a request.
pub const UP: &str = "/up";

/// A unary call: what real clients have a stub for.
pub const UNARY: &str = "/grpc.health.v1.Health/Check";

/// A call that is answered with as many messages as its own says (four bytes, big endian).
pub const STREAM: &str = "/bench.Bench/Stream";

/// What [`DOWN`] is answered with.
pub static ZEROS: [u8; MIB] = [0; MIB];

/// The same bytes some times, then trailers if it is a call's.
#[derive(Debug)]
pub struct Answer {
    bytes: Bytes,
    times: u32,
    owes_trailers: bool,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = if self.times > 0 {
            self.times -= 1;
            Some(Frame::data(self.bytes.clone()))
        } else if self.owes_trailers {
            self.owes_trailers = false;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            Some(Frame::trailers(trailers))
        } else {
            None
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.times == 0 && !self.owes_trailers
    }

    fn size_hint(&self) -> SizeHint {
        if self.owes_trailers {
            // Known, but calls have no content-length.
            return SizeHint::default();
        }
        SizeHint::with_exact(self.bytes.len() as u64 * u64::from(self.times))
    }
}

/// Answers a request by its path; anything else is answered with [`HELLO`].
///
/// # Errors
/// Never.
pub async fn serve(request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let (head, body) = request.into_parts();
    let plain = |bytes: &'static [u8]| {
        Response::new(Answer { bytes: Bytes::from_static(bytes), times: 1, owes_trailers: false })
    };
    Ok(match head.uri.path() {
        UNARY => match read(body).await {
            Some(_) => call(ANSWER, 1),
            None => call(ANSWER, 0),
        },
        STREAM => {
            let asked = read(body).await.unwrap_or_default();
            call(MESSAGE, asked.last_chunk().map_or(0, |count| u32::from_be_bytes(*count)))
        }
        DOWN => plain(&ZEROS),
        UP => plain(if discard(body).await == Some(MIB) { HELLO } else { b"" }),
        _ => plain(HELLO),
    })
}

fn call(message: &'static [u8], times: u32) -> Response<Answer> {
    let bytes = Bytes::from_static(message);
    let mut response = Response::new(Answer { bytes, times, owes_trailers: true });
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A small body whole; `None` if it was cut.
async fn read(body: Incoming) -> Option<Bytes> {
    Some(body.collect().await.ok()?.to_bytes())
}

/// How long the body was; `None` if it was cut.
async fn discard(mut body: Incoming) -> Option<usize> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.ok()?.data_ref().map_or(0, Bytes::len);
    }
    Some(length)
}
