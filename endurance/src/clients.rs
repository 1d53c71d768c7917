//! Clients. Each is a function that makes connections of its own to a front and checks what it hears; an error is a finding.

pub(crate) mod bytes;
pub(crate) mod h2;
pub(crate) mod http1;
pub(crate) mod io;
pub(crate) mod raw;
pub(crate) mod refused;
pub(crate) mod rude;
pub(crate) mod stalled;

use std::future::Future;
use std::pin::Pin;

use crate::front::Front;
use crate::load::Counts;
use crate::random::Random;

/// What a client has at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) front: &'a Front,
    pub(crate) counts: &'a Counts,
}

/// What a client heard: nothing wrong, or what was.
pub(crate) type Heard = Result<(), String>;

type Client = for<'a> fn(Stage<'a>, &'a mut Random) -> Pin<Box<dyn Future<Output = Heard> + Send + 'a>>;

/// One kind of client.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// How often it comes, beside the others of its table.
    pub(crate) weight: usize,
    pub(crate) run: Client,
}

macro_rules! kinds {
    ($($weight:literal $name:literal $run:path,)*) => {
        &[$(Kind { name: $name, weight: $weight, run: |stage, random| Box::pin($run(stage, random)) },)*]
    };
}

/// Those that are done soon.
pub(crate) const SWIFT: &[Kind] = kinds! {
    14 "http1" http1::keep_alive,
    4 "http1-slow-reader" http1::slow_reader,
    3 "websocket" http1::websocket,
    12 "h2" h2::eager,
    10 "grpc-eager" h2::grpc_eager,
    12 "grpc-waiting" h2::grpc_waiting,
    8 "proxy-like" h2::proxy_like,
    5 "tls" raw::tls,
    4 "ssh" raw::ssh,
    4 "postgres" raw::postgres,
    4 "socks5" raw::socks5,
    10 "dies-in-opening" rude::dies_in_opening,
    5 "dies-in-response" rude::dies_in_response,
    5 "probe" rude::probe,
    3 "flood-frames" rude::flood_frames,
    2 "flood-head" rude::flood_head,
    2 "rapid-reset" rude::rapid_reset,
    1 "storm" rude::storm,
    4 "no-route" refused::no_route,
    3 "forbidden" refused::forbidden,
    4 "backend-down" refused::backend_down,
    10 "backend-restarts-http1" refused::restarts_http1,
    10 "backend-restarts-grpc" refused::restarts_grpc,
};

/// Those that take their time.
pub(crate) const SLOW: &[Kind] = kinds! {
    4 "slow-head" http1::slow_head,
    4 "grpc-idle-first" h2::grpc_idle_first,
    3 "server-first" raw::server_first,
    2 "stalls-silent" stalled::silent,
    4 "stalls-http1" stalled::http1,
    2 "stalls-tls" stalled::tls,
    3 "stalls-h2" stalled::h2,
    5 "mute-backend-http1" refused::mute_http1,
    4 "mute-backend-grpc" refused::mute_grpc,
};

/// Picks one by its weight.
pub(crate) fn pick(kinds: &'static [Kind], random: &mut Random) -> Kind {
    let mut at = random.below(kinds.iter().map(|kind| kind.weight).sum());
    for kind in kinds {
        match at.checked_sub(kind.weight) {
            None => return *kind,
            Some(rest) => at = rest,
        }
    }
    kinds[0]
}
