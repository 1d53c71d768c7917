//! `oneport serve`: listens, decides, connects to backends, and passes bytes on until a signal.

mod bind;
mod connect;
mod deliver;
#[cfg_attr(not(target_os = "linux"), path = "serve/no_pipes.rs")]
mod pipes;
mod pump;
mod requests;
mod resolve;
mod side;
mod signals;
mod socket;

use std::future::Future;
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use oneport::tokio::{Handle, Incoming, Mux};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::address::Backend;
use crate::errors::{print, Error};
use crate::log::{Event, Level, Logger};
use crate::outcome::Ended;
use crate::table::Plan;
pub(crate) use bind::{bind, Bound};
use deliver::{deliver, Carrier};
use pipes::Pipes;
use requests::{log_requests, split_closed};
pub(crate) use signals::StopSignals;
use socket::{AnyListener, Socket};

/// Serves until a signal.
///
/// # Errors
/// An address can not be listened on (a usage error).
pub(crate) fn run(plan: Plan, logger: &Logger) -> Result<(), Error> {
    block_on(serve(plan, logger.clone()))
}

/// Runs a future on a runtime of all processors that the process may use.
///
/// # Errors
/// That of the future, or that the system has no threads left.
pub(crate) fn block_on(future: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    // With one processor there is nobody to share work with, and sharing has its price.
    let mut builder = match available_parallelism() {
        Ok(NonZero::<usize>::MIN) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime =
        builder.enable_all().build().map_err(|error| Error::runtime(format!("can not start: {error}")))?;
    let result = runtime.block_on(future);
    // A name look-up may hang in the system's resolver: it must not hold back the exit.
    runtime.shutdown_background();
    result
}

/// How long connections have to see the cut: it is a matter of one look at a flag.
const CUT_GRACE: Duration = Duration::from_millis(200);

async fn serve(plan: Plan, logger: Logger) -> Result<(), Error> {
    let mut signals = StopSignals::new()?;
    let stopping = |signal| logger.log(&Event::new(Level::Info, "stopping").with("signal", signal));
    // A name may take its time, and whoever has the signals in hand has to hear them.
    let bound = match signals.unless(open(&plan)).await {
        Ok(bound) => bound?,
        Err(signal) => {
            stopping(signal);
            return Ok(());
        }
    };

    let (cut, is_cut) = watch::channel(false);
    let (alive, mut all_gone) = mpsc::channel(1);
    let pipes = if plan.splice { Pipes::new() } else { Pipes::none() };
    let carrier = Carrier::new(plan.limits.delivery_deadline, pipes, is_cut, logger.clone(), alive);
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

    stopping(signals.next().await);
    // Before the listeners close: a successor takes a path over only when nobody listens there, so it is still ours.
    drop(files);
    // New connections are refused by the system from here on.
    handles.iter().for_each(Handle::shutdown);
    let drained = async {
        for task in serving {
            let _ = task.await;
        }
        all_gone.recv().await;
    };
    let message = tokio::select! {
        () = drained => return Ok(()),
        () = sleep(plan.drain) => "connections were cut at the end of the drain",
        _ = signals.next() => "connections were cut by a second signal",
    };
    let _ = cut.send(true);
    let _ = timeout(CUT_GRACE, all_gone.recv()).await;
    // It may wait for a slow stderr: nobody is left that it could hold up.
    logger.log_last(&Event::new(Level::Warn, "drain-cut").with("message", message));
    Ok(())
}

/// Opens all listening sockets.
///
/// # Errors
/// That of the first one that can not be opened, or a backend turns out to be one of them.
async fn open(plan: &Plan) -> Result<Vec<Bound>, Error> {
    let mut bound: Vec<Bound> = Vec::new();
    for listen in &plan.listeners {
        let next = bind(listen, &bound).await?;
        bound.extend(next);
    }
    plan.check_loops(bound.iter().map(|bound| &bound.address))?;
    Ok(bound)
}

/// The routes of one listener and where they lead.
fn build(
    plan: &Plan,
    listener: AnyListener,
    logger: &Logger,
) -> (Mux<AnyListener>, Vec<(Incoming<Socket>, Backend)>) {
    let limits = &plan.limits;
    let mut mux = Mux::with_bounds(listener, limits.mux.clone(), limits.listener());
    if plan.per_request {
        let mut split = limits.split(plan.drain);
        split.on_request = Some(log_requests(plan, logger));
        mux.per_request_with(split);
        let logger = logger.clone();
        mux.on_split_end(move |report| logger.log(&split_closed(report)));
    }
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
