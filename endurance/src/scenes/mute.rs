//! A backend that accepts and never answers, and one whose queue is full so that nobody is even accepted: their clients wait or are
//! told, and those of other backends notice nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::queued;
use crate::books::Expect;
use crate::checks::Checks;
use crate::clients::bytes::http1_request;
use crate::clients::h2::{self, routed, Channel, Question};
use crate::clients::http1::{self, open};
use crate::clients::refused::is_told;
use crate::clients::Stage;
use crate::front::{patiently, Front};
use crate::load::{Counts, World};
use crate::random::Random;

/// Clients that wait for a mute backend, of each kind.
const WAITING: usize = 50;
/// The queue of the backend that accepts nobody.
const BACKLOG: u32 = 1;

pub(crate) async fn run(front: &Front, world: &World, counts: &Counts, checks: &mut Checks) {
    let mode = front.mode;
    let stage = Stage { front, counts };
    let mut random = Random::new(2);
    let work = async {
        let mut waiting = Vec::new();
        let mut channels = Vec::new();
        for _ in 0..WAITING {
            let mut io =
                open(stage, "mute-http1", Expect::routed("http1,host:mute.test"), &mut random).await?;
            io.say(&http1_request("mute.test", "/", "", b"")).await?;
            waiting.push(io);
            let io = open(stage, "mute-grpc", routed(stage, "grpc:mute.Echo"), &mut random).await?;
            channels.push(Channel::open(io, true).await?);
        }
        let question = Question { body: Vec::new(), ..Question::grpc("mute.Echo", &mut random) };
        let mut asked = Vec::new();
        for channel in &channels {
            asked.push(Box::pin(channel.ask(stage, &question)));
        }
        // All of them ask, and nobody waits yet.
        for ask in &mut asked {
            let _ = timeout(Duration::from_millis(1), ask).await;
        }
        let started = Instant::now();
        for _ in 0..20 {
            http1::keep_alive(stage, &mut random).await?;
            h2::grpc_waiting(stage, &mut random).await?;
            h2::eager(stage, &mut random).await?;
        }
        let others = format!(
            "60 clients in {:.1} s beside {} that wait",
            started.elapsed().as_secs_f64(),
            2 * WAITING
        );
        // Routed by request, the mux hears no SETTINGS of an HTTP/2 server in time, and says so.
        let mut told = 0;
        if front.is_per_request() {
            for ask in asked {
                match ask.await {
                    Ok(answer) if answer.grpc_status == "14" => told += 1,
                    heard => return Err(format!("a mute backend of gRPC: {heard:?}")),
                }
            }
        } else {
            for ask in asked {
                if let Ok(heard) = timeout(Duration::from_millis(1), ask).await {
                    return Err(format!("heard of a mute backend: {heard:?}"));
                }
            }
        }
        for io in &mut waiting {
            if let Ok(heard) = timeout(Duration::from_millis(1), io.hear(b"\0")).await {
                return Err(format!("heard of a mute backend: {heard:?}"));
            }
        }
        channels.into_iter().for_each(Channel::abandon);
        Ok(format!("{others}; {told} were told status 14, the others waited"))
    };
    checks.check_ok(
        format!("{mode}: a backend that never answers harms only its own clients"),
        patiently("the scene", work).await,
    );
    let at = world.down.address;
    checks.check_ok(
        format!("{mode}: a backend that does not even accept: 502"),
        patiently("the client", full(stage, at)).await,
    );
}

/// Where nobody listens, somebody does now, and accepts nobody: the next one to connect gets no answer.
async fn full(stage: Stage<'_>, at: SocketAddr) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    let socket = TcpSocket::new_v4().map_err(text)?;
    socket.set_reuseaddr(true).map_err(text)?;
    socket.bind(at).map_err(text)?;
    let listener = socket.listen(BACKLOG).map_err(text)?;
    let mut queue = Vec::new();
    // It takes one more than it was asked for.
    while queued(at) <= BACKLOG as usize {
        // Without an answer it may be full by now, and as well this machine may be busy.
        if let Ok(connected) = timeout(Duration::from_millis(500), TcpStream::connect(at)).await {
            queue.push(connected.map_err(text)?);
        }
        if queue.len() > 64 {
            return Err("its queue has no end".to_owned());
        }
    }
    let started = Instant::now();
    let mut random = Random::new(3);
    let mut io =
        open(stage, "full-backend", Expect::of(&[("refused", "delivery-timeout")]), &mut random).await?;
    io.say(&http1_request("down.test", "/", "", b"")).await?;
    is_told(&mut io, b"HTTP/1.1 502 ").await?;
    drop(listener);
    Ok(format!("after {:.1} s", started.elapsed().as_secs_f64()))
}
