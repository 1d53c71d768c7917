//! Faults on purpose, each with a verdict of its own.

use crate::checks::{Checks, Trouble};

/// Runs the scene of this name.
pub(crate) async fn run(name: &str, seed: u64, checks: &mut Checks) -> Result<(), Trouble> {
    let _ = seed;
    let _ = checks;
    Err(Trouble::Broke(format!("no scene {name}")))
}
