//! Faults on purpose, each with a verdict of its own. Each has its own backends and its own processes.

mod clock;
mod drain;
mod emfile;
mod mute;
mod queue;
mod resets;
mod suspend;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::checks::{Checks, Trouble};
use crate::front::{Front, MODES};
use crate::load::{Counts, World};
use crate::process::Setup;
use crate::soak::{accounts, nothing_cut, serves};

/// Runs the scene of this name, in both modes.
pub(crate) async fn run(name: &str, seed: u64, checks: &mut Checks) -> Result<(), Trouble> {
    match name {
        "drain" => drain::run(checks).await,
        "queue" => queue::run(checks).await,
        _ => {
            for mode in MODES {
                let world = World::start().await?;
                let mut options = world.routes();
                options.extend(own_options(name));
                let setup = match name {
                    "clock" => clock::setup(mode)?,
                    "emfile" => Setup { files: Some(emfile::FILES), ..Setup::default() },
                    _ => Setup::default(),
                };
                let mut front = Front::start(mode, &options, &setup).await?;
                let counts = Counts::default();
                match name {
                    "clock" => clock::run(&front, &counts, checks).await?,
                    "emfile" => emfile::run(&front, &counts, checks).await,
                    "mute" => mute::run(&front, &world, &counts, checks).await,
                    "resets" => resets::run(&front, &world, &counts, seed, checks).await,
                    "suspend" => suspend::run(&front, &counts, checks).await?,
                    _ => return Err(Trouble::Broke(format!("no scene {name}"))),
                }
                end(&mut front, &counts, checks).await;
            }
            Ok(())
        }
    }
}

/// The deadlines that a scene is about.
fn own_options(name: &str) -> Vec<String> {
    let deadlines: &[(&str, &str)] = match name {
        "suspend" => &[
            ("silent", "12s"),
            ("opening", "12s"),
            ("http2-settings", "12s"),
            ("http2-headers", "12s"),
            ("http2-idle", "12s"),
        ],
        "clock" => &[("silent", "8s"), ("opening", "8s"), ("http2-idle", "60s")],
        "mute" => &[("delivery", "4s")],
        _ => &[],
    };
    deadlines.iter().flat_map(|(name, value)| [format!("--{name}-deadline"), (*value).to_owned()]).collect()
}

/// What every scene ends with: it serves, nothing is left, it stops, and the sums are right.
async fn end(front: &mut Front, counts: &Counts, checks: &mut Checks) {
    let mode = front.mode;
    checks
        .check_ok(format!("{mode}: it still serves, and all files are closed"), serves(front, counts).await);
    front.stop(checks).await;
    nothing_cut(checks, front);
    accounts(checks, front, counts);
}

/// Connections that wait at the listener of this address until they are accepted; 0 if there is none.
fn queued(at: SocketAddr) -> usize {
    let IpAddr::V4(ip) = at.ip() else { return 0 };
    // The address as it lies in memory.
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), at.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let listener = table.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (this, _, state, queues) = (words.next()?, words.next()?, words.next()?, words.next()?);
        // LISTEN; the second of the queues is what waits.
        (state == "0A" && this == local).then(|| usize::from_str_radix(queues.split(':').nth(1)?, 16).ok())?
    });
    listener.unwrap_or(0)
}

/// A moment in which a process can do what is to be done at once.
const MOMENT: Duration = Duration::from_millis(500);
