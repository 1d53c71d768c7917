//! `oneport serve`: listens, decides, connects to backends, and passes bytes on until a signal.

use crate::errors::Error;
use crate::log::Logger;
use crate::table::Plan;

/// Serves until a signal.
///
/// # Errors
/// An address can not be listened on (a usage error).
pub(crate) fn run(_plan: Plan, _logger: &Logger) -> Result<(), Error> {
    Err(Error::runtime("serving is not built in yet"))
}
