//! Well-behaved clients of HTTP/2: those that begin at once, those that wait for the server, and those that speak for many.

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::http1::open;
use super::io::ClientIo;
use super::{Heard, Stage};
use crate::books::Expect;
use crate::random::{pattern, Random};

/// A client's HTTP/2 connection.
pub(crate) struct Channel {
    send: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// What came back of one request.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) backend: String,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    /// Of gRPC, from the trailers, or the head if there is no more than that.
    pub(crate) grpc_status: String,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) path: String,
    pub(crate) is_grpc: bool,
    pub(crate) body: Vec<u8>,
    /// How long the backend is to take.
    pub(crate) delay_ms: u32,
}

impl Question {
    pub(crate) fn grpc(service: &str, random: &mut Random) -> Self {
        let path = format!("/{service}/Call{}", random.next());
        Self { path, is_grpc: true, body: pattern(random.next(), random.size(60_000)), delay_ms: 0 }
    }

    pub(crate) fn plain(random: &mut Random) -> Self {
        let path = format!("/echo/{}", random.next());
        Self { path, is_grpc: false, body: pattern(random.next(), random.size(120_000)), delay_ms: 0 }
    }

    /// The one right answer.
    pub(crate) fn answer(&self, backend: &str) -> Answer {
        Answer {
            status: 200,
            backend: backend.to_owned(),
            path: self.path.clone(),
            body: self.body.clone(),
            grpc_status: if self.is_grpc { "0".to_owned() } else { String::new() },
        }
    }
}

impl Channel {
    /// Opens one; a client that waits does so until the server has said something.
    pub(crate) async fn open(mut io: ClientIo, waits: bool) -> Result<Self, String> {
        let first_word = io.first_word();
        let handshake = h2::client::handshake(io).await;
        let (send, connection) = handshake.map_err(|error| format!("no handshake: {error}"))?;
        let connection = tokio::spawn(connection);
        if waits {
            let _ = first_word.await;
        }
        Ok(Self { send, connection })
    }

    pub(crate) async fn ask(&self, stage: Stage<'_>, question: &Question) -> Result<Answer, h2::Error> {
        let mut request =
            Request::post(format!("http://soak.test{}", question.path)).body(()).unwrap_or_default();
        let fields = request.headers_mut();
        if question.is_grpc {
            fields.insert("content-type", http::HeaderValue::from_static("application/grpc"));
            fields.insert("te", http::HeaderValue::from_static("trailers"));
        }
        if question.delay_ms > 0 {
            fields.insert("x-delay-ms", question.delay_ms.into());
        }
        stage.counts.asked(stage.front.mode);
        let mut send = self.send.clone().ready().await?;
        let (response, mut body) = send.send_request(request, false)?;
        body.send_data(Bytes::from(question.body.clone()), true)?;
        let (head, mut body) = response.await?.into_parts();
        let text = |fields: &http::HeaderMap, name: &str| {
            fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let mut answer = Answer {
            status: head.status.as_u16(),
            backend: text(&head.headers, "x-backend"),
            path: text(&head.headers, "x-path"),
            body: Vec::new(),
            grpc_status: text(&head.headers, "grpc-status"),
        };
        while let Some(part) = body.data().await {
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            answer.body.extend_from_slice(&part);
        }
        if let Some(trailers) = body.trailers().await? {
            answer.grpc_status = text(&trailers, "grpc-status");
        }
        stage.counts.heard(stage.front.mode);
        Ok(answer)
    }

    /// Asks, and takes nothing but the right answer.
    pub(crate) async fn ask_exactly(&self, stage: Stage<'_>, question: &Question, backend: &str) -> Heard {
        let answer =
            self.ask(stage, question).await.map_err(|error| format!("{}: {error}", question.path))?;
        let expected = question.answer(backend);
        if answer == expected {
            stage.counts.answered();
            return Ok(());
        }
        let brief = |answer: Answer| {
            format!(
                "{} by {:?}, path {:?}, {} bytes, grpc-status {:?}",
                answer.status,
                answer.backend,
                answer.path,
                answer.body.len(),
                answer.grpc_status
            )
        };
        Err(format!("answered {}, and not {}", brief(answer), brief(expected)))
    }

    /// Says goodbye; the connection must have been in order until then.
    pub(crate) async fn close(self) -> Heard {
        drop(self.send);
        match self.connection.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the connection broke: {error}")),
            Err(_) => Err("the client's own task broke".to_owned()),
        }
    }

    /// Is gone at once, without a word.
    pub(crate) fn abandon(self) {
        self.connection.abort();
    }
}

/// What the log is to say of a connection of HTTP/2 that goes this way; that of one whose requests go their own ways names none.
pub(crate) fn routed(stage: Stage<'_>, route: &'static str) -> Expect {
    Expect::routed(if stage.front.is_per_request() { "" } else { route })
}

pub(crate) async fn eager(stage: Stage<'_>, random: &mut Random) -> Heard {
    let io = open(stage, "h2", routed(stage, "http2"), random).await?;
    let channel = Channel::open(io, false).await?;
    ask_some(stage, &channel, &|random| (Question::plain(random), "h2"), random).await?;
    channel.close().await
}

pub(crate) async fn grpc_eager(stage: Stage<'_>, random: &mut Random) -> Heard {
    let io = open(stage, "grpc-eager", routed(stage, "grpc"), random).await?;
    let channel = Channel::open(io, false).await?;
    ask_some(stage, &channel, &|random| (Question::grpc("soak.Echo", random), "grpc"), random).await?;
    channel.close().await
}

/// As most clients of gRPC: no request before the server's SETTINGS.
pub(crate) async fn grpc_waiting(stage: Stage<'_>, random: &mut Random) -> Heard {
    let io = open(stage, "grpc-waiting", routed(stage, "grpc"), random).await?;
    let channel = Channel::open(io, true).await?;
    ask_some(stage, &channel, &|random| (Question::grpc("soak.Echo", random), "grpc"), random).await?;
    channel.close().await
}

/// A channel that is opened long before its first call, and is idle between calls.
pub(crate) async fn grpc_idle_first(stage: Stage<'_>, random: &mut Random) -> Heard {
    let io = open(stage, "grpc-idle-first", routed(stage, "grpc"), random).await?;
    let channel = Channel::open(io, true).await?;
    for _ in 0..3 {
        sleep(random.millis(1_500)).await;
        channel.ask_exactly(stage, &Question::grpc("soak.Echo", random), "grpc").await?;
    }
    channel.close().await
}

/// Calls of gRPC and plain requests on one connection: each goes its own way, or, by connection, where the first one went.
pub(crate) async fn proxy_like(stage: Stage<'_>, random: &mut Random) -> Heard {
    let begins_with_grpc = random.one_in(2);
    let (route, first) = if begins_with_grpc { ("grpc", "grpc") } else { ("http2", "h2") };
    let io = open(stage, "proxy-like", routed(stage, route), random).await?;
    let channel = Channel::open(io, random.one_in(2)).await?;
    let question = |is_grpc: bool, random: &mut Random| {
        if is_grpc {
            Question::grpc("soak.Echo", random)
        } else {
            Question::plain(random)
        }
    };
    channel.ask_exactly(stage, &question(begins_with_grpc, random), first).await?;
    let mix = |random: &mut Random| {
        let is_grpc = random.one_in(2);
        let own = if is_grpc { "grpc" } else { "h2" };
        (question(is_grpc, random), if stage.front.is_per_request() { own } else { first })
    };
    ask_some(stage, &channel, &mix, random).await?;
    channel.close().await
}

/// Some rounds of some requests at once.
async fn ask_some(
    stage: Stage<'_>,
    channel: &Channel,
    question: &(dyn Fn(&mut Random) -> (Question, &'static str) + Sync),
    random: &mut Random,
) -> Heard {
    for _ in 0..1 + random.below(3) {
        let questions: Vec<_> = (0..1 + random.below(8)).map(|_| question(random)).collect();
        let mut asking = Vec::new();
        for (question, backend) in &questions {
            asking.push(Box::pin(channel.ask_exactly(stage, question, backend)));
        }
        all(asking).await?;
    }
    Ok(())
}

/// Drives all of them at once; the first error ends it.
async fn all<F: std::future::Future<Output = Heard> + Unpin>(mut work: Vec<F>) -> Heard {
    std::future::poll_fn(|cx| {
        let mut result = Ok(());
        work.retain_mut(|one| match std::pin::Pin::new(one).poll(cx) {
            std::task::Poll::Ready(Ok(())) => false,
            std::task::Poll::Ready(error) => {
                result = error;
                false
            }
            std::task::Poll::Pending => true,
        });
        match result {
            Ok(()) if !work.is_empty() => std::task::Poll::Pending,
            result => std::task::Poll::Ready(result),
        }
    })
    .await
}
