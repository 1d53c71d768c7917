//! `oneport demo`: a gRPC health service and a small REST server behind one port, and what to try with them.

mod grpc;
mod rest;
mod text;

use crate::address::Address;
use crate::errors::Error;
use crate::log::Logger;

pub(crate) use grpc::grpc;
pub(crate) use rest::rest;
pub(crate) use text::instructions;

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
pub(crate) fn run(_plan: DemoPlan, _logger: &Logger) -> Result<(), Error> {
    Err(Error::runtime("serving is not built in yet"))
}
