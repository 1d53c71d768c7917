//! `oneport demo`: a gRPC health service and a small REST server behind one port, and what to try with them.

mod grpc;
mod rest;
mod text;

use std::time::Duration;

use oneport::tokio::Mux;

use crate::address::Address;
use crate::errors::{print, Error};
use crate::log::Logger;
use crate::serve::{bind, block_on, log_outcomes, StopSignals};
use crate::table::Listen;

pub(crate) use grpc::grpc;
pub(crate) use rest::rest;
pub(crate) use text::instructions;

/// How long calls may go on after a signal.
const DRAIN: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Debug)]
pub(crate) struct DemoPlan {
    /// Where to listen.
    pub(crate) listen: Address,
}

/// Serves until a signal.
///
/// # Errors
/// The address can not be listened on (a usage error).
pub(crate) fn run(plan: DemoPlan, logger: &Logger) -> Result<(), Error> {
    block_on(serve(plan, logger.clone()))
}

async fn serve(plan: DemoPlan, logger: Logger) -> Result<(), Error> {
    let mut signals = StopSignals::new()?;
    let listen = Listen { address: plan.listen, is_required: true };
    let Ok(bound) = signals.unless(bind(&listen, &[])).await else { return Ok(()) };
    let Some(bound) = bound? else { return Ok(()) };
    let mut mux = Mux::new(bound.listener);
    let calls = mux.route("grpc", oneport::matchers::grpc());
    let requests = mux.route("rest", oneport::matchers::http());
    log_outcomes(&mut mux, &logger);
    let handle = mux.handle();
    let serving = tokio::spawn(mux.serve());
    tokio::spawn(rest(requests));
    let calls = tokio::spawn(grpc(calls));
    print(&instructions(&bound.address))?;

    signals.next().await;
    // Before the listener closes, while the path is still ours.
    drop(bound.file);
    handle.shutdown();
    let ended = async {
        let _ = serving.await;
        // Some calls never end by themselves, such as those that watch the health.
        let _ = tokio::time::timeout(DRAIN, calls).await;
    };
    tokio::select! {
        () = ended => {}
        _ = signals.next() => {}
    }
    Ok(())
}
