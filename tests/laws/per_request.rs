//! With per-request routing, an HTTP/2 connection is given to the second machine: as soon as it is known to be one, as it came, and
//! without a word. All else goes as without.

use std::sync::Arc;
use std::time::Instant;

use oneport_core::wire::frame::PREFACE;
use oneport_core::{matchers, Config, MuxMachine, Outcome, Output, Routes, Why};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::feed::{cuts, ends};
use crate::flights::{Speaks, FLIGHTS};

/// What became of an opening.
#[derive(Debug, Eq, PartialEq)]
enum End {
    Ended(Outcome),
    Routed(Why, Vec<u8>),
    /// After so many bytes, with these.
    Split(usize, Vec<u8>),
}

/// The end, and whether anything was said.
fn feed(opening: &[u8], ends: &[usize], per_request: bool) -> (End, bool) {
    let mut config = Config::default();
    config.per_request = per_request;
    let routes = Routes::new()
        .route(matchers::ssh(), ())
        .route(matchers::grpc(), ())
        .route(matchers::path_prefix("/a"), ())
        .route(matchers::tls(), ())
        .otherwise(());
    let now = Instant::now();
    let mut machine = MuxMachine::new(Arc::new(routes), Arc::new(config), now);
    let (mut from, mut has_said) = (0, false);
    let mut pieces = ends.iter().copied();
    loop {
        match machine.poll_output() {
            Output::Closed(outcome) => return (End::Ended(outcome), has_said),
            Output::NeedInput { .. } => match pieces.next() {
                Some(end) => {
                    machine.handle_input(&opening[from..end], now);
                    from = end;
                }
                None => machine.handle_eof(now),
            },
            Output::Routed(handover) => {
                let why = handover.why();
                return (End::Routed(why, handover.into_parts().replay.to_vec()), has_said);
            }
            Output::Split(bytes) => return (End::Split(from, bytes.to_vec()), has_said),
            Output::Write(_) => has_said = true,
        }
    }
}

proptest! {
    #[test]
    fn http2_is_split_as_it_came_and_all_else_is_not(flight in any::<Index>(), cuts in cuts(), damage in any::<Option<(Index, u8)>>()) {
        let flight = flight.get(FLIGHTS);
        let mut opening = flight.bytes.to_vec();
        if let Some((at, byte)) = damage {
            *at.get_mut(&mut opening) = byte;
        }
        let ends = ends(&cuts, opening.len());
        let (end, has_said) = feed(&opening, &ends, true);
        if opening.starts_with(PREFACE) {
            // With the first segment that completes the preface, and with nothing behind that segment.
            let at = ends.iter().copied().find(|end| *end >= PREFACE.len()).expect("all of it comes");
            prop_assert_eq!(end, End::Split(at, opening[..at].to_vec()));
            prop_assert!(!has_said);
        } else {
            prop_assert_eq!((end, has_said), feed(&opening, &ends, false));
        }
    }
}

/// The property above has met both cases.
#[test]
fn flights_of_both_kinds_are_there() {
    let http2 = FLIGHTS.iter().filter(|flight| flight.speaks == Speaks::Http2).count();
    assert!(http2 >= 5 && FLIGHTS.len() - http2 >= 5);
}

/// The first route takes everything, and still the connection is not given away before it is known what it is.
#[test]
fn a_route_that_takes_everything_waits_for_the_preface() {
    let mut config = Config::default();
    config.per_request = true;
    let routes = Arc::new(Routes::new().route(matchers::any(), ()));
    let now = Instant::now();
    let mut machine = MuxMachine::new(routes, Arc::new(config), now);
    assert!(matches!(machine.poll_output(), Output::NeedInput { .. }), "silent");
    machine.handle_input(b"P", now);
    assert!(matches!(machine.poll_output(), Output::NeedInput { .. }), "PRI or POST");
    machine.handle_input(b"O", now);
    let Output::Routed(handover) = machine.poll_output() else { panic!("no HTTP/2 any more") };
    assert_eq!(&handover.into_parts().replay[..], b"PO");
}
