//! The machine, told a list of things that may happen to a connection, in one cut of the input and byte by byte at the same instants.

mod scene;
mod told;

use core::time::Duration;

use crate::script::{choices, pieces};
use scene::{config, refuses, routes};
use told::Told;

/// How much time passes before a mark's action, chosen by its high four bits.
const PAUSES: [Duration; 16] = {
    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
    [
        ms(0),
        ms(0),
        ms(0),
        ms(1),
        ms(4),
        ms(5),
        ms(6),
        ms(100),
        ms(999),
        ms(1_000),
        ms(4_999),
        ms(5_000),
        ms(9_999),
        ms(10_000),
        ms(75_000),
        ms(2_200_000),
    ]
};

/// One connection. The first byte chooses the routes, the second the bounds, the third is odd where the route does not take the
/// connection; what follows is what the client sends, with marks for what else happens.
pub fn machine(data: &[u8]) {
    let ([table, bounds, refusing], script) = choices(data);
    let told = |is_bytewise| {
        let refused = refuses(refusing);
        let mut told = Told::new(routes(table), config(bounds), refused, is_bytewise);
        for (piece, action) in pieces(script) {
            told.input(piece);
            let Some(action) = action else { break };
            told.pass(PAUSES[usize::from(action >> 4)]);
            match action & 0x0f {
                0 => told.eof(),
                1 => told.reset(),
                2 => told.shutdown(),
                3 => told.eviction(),
                4 => told.timeout_early(),
                _ => {}
            }
        }
        told.end()
    };
    let whole = told(false);
    let bytewise = told(true);
    assert_eq!(whole, bytewise, "the cut makes a difference");
    whole.check();
}
