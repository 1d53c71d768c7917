//! `oneport serve`: listens, decides, connects to backends, and passes bytes on until a signal.

mod bind;
mod connect;
mod pump;
mod socket;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use oneport::tokio::{Arrival, Handle, Incoming, Mux};
use oneport::Reason;
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::{mpsc, watch, Semaphore};
use tokio::time::timeout;

use crate::address::Backend;
use crate::errors::{print, Error};
use crate::log::{Event, Level, Logger};
use crate::outcome::Ended;
use crate::table::Plan;
pub(crate) use bind::{bind, Bound};
use connect::connect;
use pump::{pump, PumpEnd};
use socket::{AnyListener, Socket};

/// What the tasks that carry connections share.
#[derive(Clone)]
struct Carrier {
    /// How long a backend may take to accept.
    deadline: Duration,
    /// Turns true when the drain is over: what still runs is cut.
    cut: watch::Receiver<bool>,
    /// Held by every connection that is routed: the drain is over when all are gone.
    _alive: mpsc::Sender<()>,
}

/// Serves until a signal.
///
/// # Errors
/// An address can not be listened on (a usage error).
pub(crate) fn run(plan: Plan, logger: &Logger) -> Result<(), Error> {
    block_on(serve(plan, logger.clone()))
}

/// Runs a future on a runtime of all cores.
///
/// # Errors
/// That of the future, or that the system has no threads left.
pub(crate) fn block_on(future: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::runtime(format!("can not start: {error}")))?;
    let result = runtime.block_on(future);
    // A name look-up may hang in the system's resolver: it must not hold back the exit.
    runtime.shutdown_background();
    result
}

/// Ready at the first SIGTERM or SIGINT after the call.
///
/// # Errors
/// The system refuses handlers.
pub(crate) fn stop_signal() -> Result<impl Future<Output = &'static str>, Error> {
    let handler =
        |kind| signal(kind).map_err(|error| Error::runtime(format!("can not wait for signals: {error}")));
    let (mut terminate, mut interrupt) =
        (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

async fn serve(plan: Plan, logger: Logger) -> Result<(), Error> {
    let stop = stop_signal()?;
    let mut bound = Vec::new();
    for listen in &plan.listeners {
        bound.extend(bind(listen).await?);
    }

    let (cut, is_cut) = watch::channel(false);
    let (alive, mut all_gone) = mpsc::channel(1);
    let deadline = plan.limits.delivery_deadline;
    let carrier = Carrier { deadline, cut: is_cut, _alive: alive };
    let mut files = Vec::new();
    let mut handles: Vec<Handle<Socket>> = Vec::new();
    let mut serving = Vec::new();
    let mut said = String::new();
    for Bound { listener, address, file } in bound {
        said.push_str(&format!("listening on {address}\n"));
        files.extend(file);
        let (mux, routes) = build(&plan, listener, &logger);
        for (incoming, backend) in routes {
            tokio::spawn(deliver(incoming, backend, plan.limits.max_undelivered, carrier.clone()));
        }
        handles.push(mux.handle());
        serving.push(tokio::spawn(mux.serve()));
    }
    drop(carrier);
    print(&said)?;

    let signal = stop.await;
    logger.log(&Event::new(Level::Info, "stopping").with("signal", signal));
    handles.iter().for_each(Handle::shutdown);
    // New connections are refused by the system from here on, and Unix sockets are free for a successor.
    drop(files);
    let drained = async {
        for task in serving {
            let _ = task.await;
        }
        all_gone.recv().await;
    };
    if timeout(plan.drain, drained).await.is_err() {
        let _ = cut.send(true);
        // A cut is a matter of one look at a flag; whoever misses it is reset by the exit.
        let _ = timeout(Duration::from_millis(200), all_gone.recv()).await;
        logger.log(
            &Event::new(Level::Warn, "drain-cut")
                .with("message", "connections were cut at the end of the drain"),
        );
    }
    Ok(())
}

/// The routes of one listener and where they lead.
fn build(
    plan: &Plan,
    listener: AnyListener,
    logger: &Logger,
) -> (Mux<AnyListener>, Vec<(Incoming<Socket>, Backend)>) {
    let limits = &plan.limits;
    let mut mux = Mux::with_bounds(listener, limits.mux.clone(), limits.listener());
    let mut routes = Vec::new();
    for route in &plan.routes {
        routes.push((mux.route(route.name.clone(), route.matcher.clone()), route.backend.clone()));
    }
    if let Some(backend) = &plan.otherwise {
        routes.push((mux.otherwise("otherwise"), backend.clone()));
    }
    if let Some(backend) = &plan.on_timeout {
        routes.push((mux.on_timeout("on-timeout"), backend.clone()));
    }
    if let Some((backend, after)) = &plan.server_first {
        routes.push((mux.server_first("server-first", *after), backend.clone()));
    }
    log_outcomes(&mut mux, logger);
    (mux, routes)
}

/// Logs how each connection ends.
pub(crate) fn log_outcomes(mux: &mut Mux<AnyListener>, logger: &Logger) {
    let logger = logger.clone();
    mux.on_outcome(move |report| {
        let ended = Ended {
            outcome: report.outcome,
            route: report.route,
            peer: report.addresses.peer.tcp().map(|peer| peer.to_string()),
            is_greeted: report.greeted,
            verdict: Some(report.time_to_verdict),
            detail: report.detail.map(ToOwned::to_owned),
        };
        logger.log(&ended.event());
    });
}

/// Takes the connections of one route to its backend. At most `most` of them wait for it at the same time; others stay in the
/// backlog.
async fn deliver(mut incoming: Incoming<Socket>, backend: Backend, most: usize, carrier: Carrier) {
    let backend = Arc::new(backend);
    let places = Arc::new(Semaphore::new(most));
    while let Some(arrival) = incoming.arrival().await {
        match &*backend {
            Backend::Close => arrival.refuse(Reason::Forbidden),
            Backend::Server(_) => {
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let (backend, carrier) = (backend.clone(), carrier.clone());
                tokio::spawn(async move {
                    let Backend::Server(address) = &*backend else { return };
                    let connected = connect(address, carrier.deadline).await;
                    drop(place);
                    match connected {
                        Ok(socket) => carry(arrival, socket, carrier).await,
                        Err(error) => {
                            let reason = match error.kind() {
                                io::ErrorKind::TimedOut => Reason::DeliveryTimeout,
                                _ => Reason::BackendDown,
                            };
                            arrival.refuse_with(reason, format!("{address}: {error}"));
                        }
                    }
                });
            }
        }
    }
}

/// Carries a connection until it ends or the drain is over.
async fn carry(arrival: Arrival<Socket>, mut backend: Socket, mut carrier: Carrier) {
    let mut client = arrival.accept();
    let end = tokio::select! {
        end = pump(&mut client, &mut backend) => end,
        _ = carrier.cut.wait_for(|cut| *cut) => PumpEnd::Cut,
    };
    if end == PumpEnd::Cut {
        client.inner().reset_on_close();
        backend.reset_on_close();
    }
}
