//! The whole life of a machine: new, feed, verdict, handover.

use std::sync::Arc;
use std::time::Instant;

use oneport_core::{matchers, Config, MuxMachine, Output, Parts, Routes, Why};

use crate::flights::Flight;

/// A table and the bounds: what the connections of one listener share.
#[derive(Clone, Debug)]
pub struct Listener {
    routes: Arc<Routes<usize>>,
    config: Arc<Config>,
    now: Instant,
}

impl Listener {
    fn new(routes: Routes<usize>) -> Self {
        Self { routes: Arc::new(routes), config: Arc::new(Config::default()), now: Instant::now() }
    }

    /// gRPC, HTTP/1, anything.
    pub fn usual() -> Self {
        Self::new(
            Routes::new().route(matchers::grpc(), 0).route(matchers::http1(), 1).route(matchers::any(), 2),
        )
    }

    /// One route that looks at what this flight says and does not take it.
    pub fn with_one_route(flight: &Flight) -> Self {
        Self::new(Routes::new().route(flight.near_miss(), 0).otherwise(1))
    }

    /// A hundred routes of the kinds that could match this flight, and do not take it.
    pub fn with_a_hundred_routes(flight: &Flight) -> Self {
        let routes = (0..100).fold(Routes::new(), |routes, n| routes.route(flight.another_near_miss(n), 0));
        Self::new(routes.otherwise(1))
    }

    /// A hundred routes of five kinds that do not take any flight: each protocol has some of its own among them, and SSH none.
    pub fn with_mixed_routes() -> Self {
        let mut routes = Routes::new();
        for n in 0..20 {
            routes = routes
                .route(matchers::authority(format!("host-{n}.example")), 0)
                .route(matchers::path_prefix(format!("/service-{n}")), 0)
                .route(matchers::header("x-tenant", matchers::is(format!("tenant-{n}"))), 0)
                .route(matchers::grpc_service(format!("package.Service{n}")), 0)
                .route(matchers::sni(format!("host-{n}.example")), 0);
        }
        Self::new(routes.otherwise(1))
    }

    /// Plays a flight from the first byte to the delivered parts. `words` is the adapter's buffer for what the mux says.
    ///
    /// # Panics
    /// If the connection is not routed.
    pub fn play(&self, flight: &Flight, words: &mut Vec<u8>) -> (Why, Parts) {
        let mut machine = MuxMachine::new(self.routes.clone(), self.config.clone(), self.now);
        let mut segments = flight.segments.iter();
        let mut is_silent = false;
        loop {
            match machine.poll_output() {
                Output::Write(reply) => {
                    words.clear();
                    reply.encode(words);
                }
                Output::NeedInput { until: Some(until) } if is_silent => {
                    machine.handle_timeout(until);
                    is_silent = false;
                }
                Output::NeedInput { .. } => {
                    let segment = segments.next().expect("a flight ends in a verdict");
                    machine.handle_input(segment, self.now);
                    is_silent = flight.waits && segments.len() == flight.segments.len() - 1;
                }
                Output::Routed(handover) => return (handover.why(), handover.into_parts()),
                Output::Split(_) => unreachable!("connections are not split here"),
                Output::Closed(outcome) => panic!("{} ends in {outcome:?}", flight.name),
            }
        }
    }
}
