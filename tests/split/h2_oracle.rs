//! The h2 crate on both sides: an independent client and independent backends, over pipes in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes};
use h2::{client, server, RecvStream};
use http::{HeaderMap, Request, Response};
use oneport_core::split::{Batch, Output, Side, SplitConfig, SplitMachine, SplitOutcome};
use tokio::io::{duplex, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::rig::routes;

enum Event {
    Eof(Side),
    Input(Side, Bytes),
    Written(Side, Batch),
}

/// The ends of one side's pipe: what to write, and when to read on.
struct Pipe {
    writer: mpsc::UnboundedSender<Batch>,
    reader: mpsc::UnboundedSender<()>,
    is_reading: bool,
}

impl Pipe {
    fn new(side: Side, io: DuplexStream, events: &mpsc::UnboundedSender<Event>) -> Self {
        let (mut read, mut write) = tokio::io::split(io);
        let (writer, mut batches) = mpsc::unbounded_channel::<Batch>();
        let (reader, mut turns) = mpsc::unbounded_channel::<()>();
        let (input, written) = (events.clone(), events.clone());
        tokio::spawn(async move {
            while turns.recv().await.is_some() {
                let mut buffer = Vec::with_capacity(16_384);
                let event = match read.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => Event::Eof(side),
                    Ok(_) => Event::Input(side, Bytes::from(buffer)),
                };
                if input.send(event).is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            while let Some(mut batch) = batches.recv().await {
                while batch.has_remaining() {
                    if write.write_buf(&mut batch).await.is_err() {
                        return;
                    }
                }
                let _ = written.send(Event::Written(side, batch));
            }
            let _ = write.shutdown().await;
        });
        Self { writer, reader, is_reading: false }
    }
}

/// An adapter of a few lines, for tests. Ends with the machine.
async fn drive(
    client: DuplexStream,
    config: SplitConfig,
    mut connect: impl FnMut(&str) -> DuplexStream,
) -> SplitOutcome {
    let mut machine = SplitMachine::new(Arc::new(routes()), Arc::new(config), Instant::now());
    let (sender, mut events) = mpsc::unbounded_channel();
    let mut pipes = HashMap::from([(Side::Client, Pipe::new(Side::Client, client, &sender))]);
    loop {
        let until = loop {
            match machine.poll_output() {
                Output::Close { side, .. } => drop(pipes.remove(&side)),
                Output::Connect { backend, target } => {
                    let side = Side::Backend(backend);
                    pipes.insert(side, Pipe::new(side, connect(target), &sender));
                    machine.handle_connected(backend, Instant::now());
                }
                Output::Done(outcome) => return outcome,
                Output::NeedInput { until } => break until.expect("a deadline"),
                Output::Write { to, batch } => drop(pipes[&to].writer.send(batch)),
            }
        };
        for (side, pipe) in &mut pipes {
            if !pipe.is_reading && machine.wants_input(*side) {
                pipe.is_reading = true;
                let _ = pipe.reader.send(());
            }
        }
        let event = tokio::time::timeout_at(until.into(), events.recv()).await;
        let now = Instant::now();
        match event {
            Err(_) => machine.handle_timeout(now),
            Ok(None) => unreachable!("a sender is held"),
            Ok(Some(Event::Eof(side))) => machine.handle_eof(side, now),
            Ok(Some(Event::Input(side, bytes))) => {
                if let Some(pipe) = pipes.get_mut(&side) {
                    pipe.is_reading = false;
                }
                machine.handle_input(side, bytes, now);
            }
            Ok(Some(Event::Written(side, batch))) => machine.handle_written(side, batch, now),
        }
    }
}

async fn read_all(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        all.extend_from_slice(&chunk);
    }
    Ok((all, body.trailers().await?))
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    pipe: usize,
    window: u32,
    table: u32,
    streams: u32,
    /// After this many requests, a backend's connection goes.
    goes_after: usize,
}

/// Serves requests by sending their bodies back, with the backend's name in front, and trailers if it is gRPC.
async fn backend(name: String, io: DuplexStream, setup: Setup) {
    let mut builder = server::Builder::new();
    builder.initial_window_size(setup.window).max_concurrent_streams(setup.streams);
    let mut connection = builder.handshake::<_, Bytes>(io).await.expect("a preface");
    let mut served = 0;
    while let Some(accepted) = connection.accept().await {
        let Ok((request, mut respond)) = accepted else { return };
        served += 1;
        if served == setup.goes_after {
            connection.graceful_shutdown();
        }
        let name = name.clone();
        tokio::spawn(async move {
            let is_grpc =
                request.headers().get("content-type").is_some_and(|value| value == "application/grpc");
            let path = request.uri().path().to_owned();
            let (mut body, trailers) = read_all(request.into_body()).await?;
            let mut answer = format!("{name}:{path}:").into_bytes();
            answer.append(&mut body);
            let response = Response::builder().header("x-backend", &name).body(()).expect("a response");
            let mut stream = respond.send_response(response, false)?;
            stream.send_data(Bytes::from(answer), !is_grpc)?;
            if is_grpc {
                let mut trailers = trailers.unwrap_or_default();
                trailers.insert("grpc-status", "0".parse().expect("a value"));
                stream.send_trailers(trailers)?;
            }
            Ok::<_, h2::Error>(())
        });
    }
}

/// Many requests at once, gRPC and plain, small and large, with and without trailers: each comes back from where it belongs.
async fn converse(setup: Setup, requests: usize) {
    let (near, far) = duplex(setup.pipe);
    let mut connections = HashMap::<String, usize>::new();
    let mut config = SplitConfig::default();
    config.max_retries = 100;
    let machine = tokio::spawn(drive(far, config, move |target| {
        *connections.entry(target.to_owned()).or_default() += 1;
        let (near, far) = duplex(setup.pipe);
        tokio::spawn(backend(target.to_owned(), far, setup));
        near
    }));
    let mut builder = client::Builder::new();
    builder.initial_window_size(setup.window).header_table_size(setup.table).initial_max_send_streams(100);
    let (mut sender, connection) = builder.handshake::<_, Bytes>(near).await.expect("a handshake");
    let connection = tokio::spawn(connection);
    let mut answers = Vec::new();
    for number in 0..requests {
        let kind = number % 4;
        let (path, target) = [("/pkg.S/M", "grpc"), ("/a/x", "a"), ("/b", "b"), ("/r", "rest")][kind];
        let is_grpc = kind == 0;
        let length = [0, 5, 1_000, 40_000, 200_000][number % 5];
        let mut request = Request::builder()
            .method(if is_grpc || length > 0 { "POST" } else { "GET" })
            .uri(format!("http://host{path}"))
            .header("x-number", number.to_string())
            .header("cookie", "a=b");
        if is_grpc {
            request = request.header("content-type", "application/grpc").header("te", "trailers");
        }
        sender = sender.ready().await.expect("room for a request");
        let ends = length == 0 && !is_grpc;
        let (response, mut stream) =
            sender.send_request(request.body(()).expect("a request"), ends).expect("sent");
        let body = vec![number as u8; length];
        if !ends {
            stream.send_data(Bytes::from(body.clone()), !is_grpc).expect("data");
        }
        if is_grpc {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-trailer", number.into());
            stream.send_trailers(trailers).expect("trailers");
        }
        answers.push(tokio::spawn(async move {
            let response = response.await.unwrap_or_else(|error| panic!("{number}: {error}"));
            assert_eq!((response.status().as_u16(), response.headers()["x-backend"] == target), (200, true));
            let (answer, trailers) = read_all(response.into_body()).await.expect("a body");
            let prefix = format!("{target}:{path}:");
            assert_eq!(answer, [prefix.as_bytes(), &body].concat(), "{number}");
            assert_eq!(trailers.is_some(), is_grpc, "{number}");
            if let Some(trailers) = trailers {
                assert_eq!(trailers["grpc-status"], "0");
                assert_eq!(trailers["x-trailer"], number.to_string());
            }
        }));
    }
    for answer in answers {
        answer.await.expect("an answer");
    }
    drop(sender);
    connection.await.expect("a task").expect("a clean end");
    assert_eq!(machine.await.expect("the machine"), SplitOutcome::Left);
}

const PLAIN: Setup = Setup { pipe: 65_536, window: 65_535, table: 4_096, streams: 100, goes_after: 0 };

#[tokio::test]
async fn many_requests_at_once() {
    converse(PLAIN, 400).await;
}

#[tokio::test]
async fn through_narrow_pipes() {
    converse(Setup { pipe: 61, ..PLAIN }, 20).await;
}

#[tokio::test]
async fn with_small_windows_and_no_table() {
    converse(Setup { window: 700, table: 0, pipe: 4_096, ..PLAIN }, 40).await;
}

#[tokio::test]
async fn with_few_streams() {
    converse(Setup { streams: 2, window: 1 << 20, ..PLAIN }, 200).await;
}

/// Each connection of a backend says GOAWAY after a few requests; none of the client's requests notices.
#[tokio::test]
async fn backends_that_go_all_the_time() {
    converse(Setup { goes_after: 10, ..PLAIN }, 400).await;
}
