//! Takes the connections of one route to its backend. Whatever becomes of a connection, the drain waits for it, and the end of the
//! drain cuts it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use oneport::core::wire::frame::ErrorCode;
use oneport::tokio::{Arrival, BridgeEnd, Incoming};
use oneport::Reason;
use tokio::sync::{mpsc, watch, OwnedSemaphorePermit, Semaphore};
use tokio::time::{timeout_at, Instant};

use super::connect::connect;
use super::pipes::Pipes;
use super::pump::{Pump, PumpEnd};
use super::resolve::Resolver;
use super::socket::Socket;
use crate::address::{Address, Backend};
use crate::log::{Event, Level, Logger};

/// What the tasks that carry connections share.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    /// From a verdict until its backend has to be connected.
    deadline: Duration,
    /// Turns true when the drain is over: what still runs is cut.
    cut: watch::Receiver<bool>,
    logger: Logger,
    pipes: Pipes,
    /// Held for every connection that is routed: the drain is over when all are gone.
    _alive: mpsc::Sender<()>,
}

impl Carrier {
    pub(super) fn new(
        deadline: Duration,
        pipes: Pipes,
        cut: watch::Receiver<bool>,
        logger: Logger,
        alive: mpsc::Sender<()>,
    ) -> Self {
        Self { deadline, cut, logger, pipes, _alive: alive }
    }

    /// Ready when the drain is over. Cancel-safe.
    async fn cut(&mut self) {
        // An error: whoever could say so is gone, and so is the program, all but this task.
        let _ = self.cut.wait_for(|cut| *cut).await;
    }
}

/// Takes the connections of one route to its backend. At most `most` of them wait for it at the same time; others stay in the
/// backlog. All that waiting has one deadline, that of the connection's verdict.
pub(super) async fn deliver(
    mut incoming: Incoming<Socket>,
    backend: Backend,
    most: usize,
    mut carrier: Carrier,
) {
    let address = match backend {
        Backend::Close => None,
        Backend::Server(address) => Some(Arc::new(address)),
    };
    let places = Arc::new(Semaphore::new(most));
    let resolver = Resolver::default();
    loop {
        let arrival = tokio::select! {
            biased;
            () = carrier.cut() => break,
            arrival = incoming.arrival() => arrival,
        };
        let Some(arrival) = arrival else { return };
        let Some(address) = address.clone() else {
            tokio::spawn(refuse(arrival, Reason::Forbidden, None, carrier.clone()));
            continue;
        };
        let decided = arrival.decided_at().map_or_else(Instant::now, Instant::from_std);
        let until = decided + carrier.deadline;
        // Those behind this one in the backlog were decided later: their deadlines are not missed meanwhile.
        let place = tokio::select! {
            place = timeout_at(until, places.clone().acquire_owned()) => place,
            () = carrier.cut() => {
                cut(arrival);
                break;
            }
        };
        let carrier = carrier.clone();
        match place {
            Ok(Ok(place)) => {
                let resolver = resolver.clone();
                tokio::spawn(take(arrival, address, resolver, until, place, carrier));
            }
            _ => {
                let detail = format!("{address}: too many connections wait for it");
                tokio::spawn(refuse(arrival, Reason::DeliveryTimeout, Some(detail), carrier));
            }
        }
    }
    while let Some(arrival) = incoming.arrival().await {
        cut(arrival);
    }
}

/// Connects to the backend until then, and carries the connection.
async fn take(
    arrival: Arrival<Socket>,
    address: Arc<Address>,
    resolver: Resolver,
    until: Instant,
    place: OwnedSemaphorePermit,
    mut carrier: Carrier,
) {
    let connected = tokio::select! {
        connected = connect(&address, &resolver, until) => connected,
        () = carrier.cut() => return cut(arrival),
    };
    drop(place);
    match connected {
        Ok(socket) if arrival.is_share() => bridge(arrival, socket, &address, carrier).await,
        Ok(socket) => carry(arrival, socket, carrier).await,
        Err(error) => {
            let reason = match error.kind() {
                io::ErrorKind::TimedOut => Reason::DeliveryTimeout,
                _ => Reason::BackendDown,
            };
            refuse(arrival, reason, Some(format!("{address}: {error}")), carrier).await;
        }
    }
}

/// Refuses a connection. Not on a task of the mux: the drain would not wait for it.
async fn refuse(arrival: Arrival<Socket>, reason: Reason, detail: Option<String>, mut carrier: Carrier) {
    if arrival.is_share() && reason != Reason::Forbidden {
        // Of a whole connection, the mux reports this as its outcome.
        carrier.logger.log(
            &Event::new(Level::Warn, "backend")
                .with("reason", reason.name())
                .with_some("detail", detail.clone()),
        );
    }
    tokio::select! {
        () = arrival.refuse_and_wait(reason, detail) => {}
        () = carrier.cut() => {}
    }
}

/// Carries a connection until it ends or the drain is over.
async fn carry(arrival: Arrival<Socket>, mut backend: Socket, mut carrier: Carrier) {
    let mut client = arrival.accept();
    let mut pump = Pump::default();
    let pipes = carrier.pipes.clone();
    let end = tokio::select! {
        end = pump.run(&mut client, &mut backend, &pipes) => end,
        () = carrier.cut() => PumpEnd::Cut,
    };
    if end == PumpEnd::Cut {
        client.inner().into_iter().for_each(Socket::reset_on_close);
        backend.reset_on_close();
    }
    if carrier.logger.is_enabled(Level::Debug) {
        let (forth, back) = (pump.to_backend(), pump.to_client());
        carrier.logger.log(
            &Event::new(Level::Debug, "closed")
                .with("end", if end == PumpEnd::Done { "done" } else { "cut" })
                .with_some("route", client.route())
                .with_some("peer", client.peer_address().tcp().map(|peer| peer.to_string()))
                .with("to_backend", forth.bytes)
                .with("to_client", back.bytes)
                .with("spliced", forth.spliced + back.spliced),
        );
    }
}

/// Lets the mux speak with the backend, for one client whose requests are routed one by one. A drain is the mux's business: it
/// knows which requests are in progress.
async fn bridge(arrival: Arrival<Socket>, backend: Socket, address: &Address, mut carrier: Carrier) {
    let Ok(bridge) = arrival.bridge(backend) else { return };
    let end = tokio::select! {
        end = bridge => end,
        () = carrier.cut() => return,
    };
    if let BridgeEnd::Fault(code) = end {
        let what = match code {
            ErrorCode::FRAME_SIZE_ERROR => "does not speak HTTP/2 with prior knowledge, as it seems",
            _ => "broke the protocol of HTTP/2",
        };
        carrier.logger.log(
            &Event::new(Level::Warn, "backend")
                .with("reason", "fault")
                .with("detail", format!("{address}: {what} ({code})")),
        );
    }
}

/// The drain is over before the connection has got to its backend.
fn cut(arrival: Arrival<Socket>) {
    arrival.cut().iter().for_each(Socket::reset_on_close);
}
