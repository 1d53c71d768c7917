//! Every accepted connection ends in exactly one outcome, whoever comes and in whatever order, and the counters say the same (law 9).

use std::collections::BTreeMap;
use std::time::Duration;

use oneport::matchers::prefix_fn;
use oneport::{Address, Bound, Outcome, Phase, Reason, Verdict, Why};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::adapters::client::Client;
use crate::adapters::eventually;
use crate::adapters::frames::{greeting, request, settings_ack, waiting};
use crate::adapters::kit::Kit;
use crate::adapters::port::{check_books, tcp, Port};
use crate::flights::flight;

/// What a client does in its life.
#[derive(Clone, Copy, Debug)]
enum Life {
    /// Connects and leaves.
    Probe,
    /// Connects and says nothing.
    Silent,
    /// Begins and leaves, by FIN or reset.
    Leaves {
        resets: bool,
    },
    /// Begins HTTP/2, is greeted, and leaves.
    GreetedLeaves,
    /// Begins and stays.
    Stays,
    /// Is greeted and stays.
    GreetedStays,
    Http1,
    Http2,
    /// A gRPC call of a client that waits.
    Greeted,
    Ssh,
    /// Nobody wants it.
    Stranger,
    TooLarge,
    /// Its route's server is gone.
    Tls,
}

impl Life {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            Just(Self::Probe),
            Just(Self::Silent),
            any::<bool>().prop_map(|resets| Self::Leaves { resets }),
            Just(Self::GreetedLeaves),
            Just(Self::Stays),
            Just(Self::GreetedStays),
            Just(Self::Http1),
            Just(Self::Http2),
            Just(Self::Greeted),
            Just(Self::Ssh),
            Just(Self::Stranger),
            Just(Self::TooLarge),
            Just(Self::Tls),
        ]
    }

    /// Lives until the client has nothing more to do; comes back with what is still connected.
    fn live(self, mut client: Client) -> Option<Client> {
        match self {
            Self::Probe => return None,
            Self::Silent => {}
            Self::Leaves { resets } => {
                client.send(b"SS");
                if resets {
                    client.reset();
                }
                return None;
            }
            Self::GreetedLeaves | Self::GreetedStays | Self::Greeted => {
                client.send(&waiting());
                client.expect(&greeting());
                match self {
                    Self::Greeted => client.send(&[settings_ack(), request("application/grpc")].concat()),
                    Self::GreetedStays => {}
                    _ => return None,
                }
            }
            Self::Stays => client.send(b"SS"),
            Self::Http1 => client.send(flight("curl-h1").bytes),
            Self::Http2 => client.send(&[waiting(), request("text/plain")].concat()),
            Self::Ssh => client.send(flight("ssh").bytes),
            Self::Stranger => client.send(b"\0\0\0\0"),
            Self::TooLarge => client.send(&[b"GET /?".to_vec(), vec![b'x'; 4_000]].concat()),
            Self::Tls => client.send(flight("openssl-tls13").bytes),
        }
        Some(client)
    }

    /// What becomes of it if the listener shuts down at last: one of these outcomes, the route, and whether it is greeted.
    fn ends(self) -> (&'static [Outcome], Option<&'static str>, bool) {
        // A reset may overtake what was sent before it.
        const RESET: &[Outcome] = &[Outcome::Left(Phase::Opening), Outcome::Left(Phase::Silent)];
        match self {
            Self::Probe => (&[Outcome::Left(Phase::Silent)], None, false),
            Self::Silent | Self::Stays => (&[Outcome::Shutdown], None, false),
            // Its end has made it nobody's; it may still be reading.
            Self::Leaves { resets: false } => (&[Outcome::Refused(Reason::NoRoute)], None, false),
            Self::Leaves { resets: true } => (RESET, None, false),
            Self::GreetedLeaves => (&[Outcome::Left(Phase::Http2Idle)], None, true),
            Self::GreetedStays => (&[Outcome::Shutdown], None, true),
            Self::Http1 => (&[Outcome::Routed(Why::Matched(2))], Some("http1"), false),
            Self::Http2 => (&[Outcome::Routed(Why::Matched(1))], Some("http2"), false),
            Self::Greeted => (&[Outcome::Routed(Why::Matched(0))], Some("grpc"), true),
            Self::Ssh => (&[Outcome::Routed(Why::Matched(4))], Some("ssh"), false),
            Self::Stranger => (&[Outcome::Refused(Reason::NoRoute)], None, false),
            Self::TooLarge => (&[Outcome::Refused(Reason::TooLarge(Bound::Http1Head))], None, false),
            Self::Tls => (&[Outcome::Refused(Reason::BackendDown)], Some("tls"), false),
        }
    }
}

/// A mix of clients, all at once; in the end the listener shuts down.
fn mix(kit: &dyn Kit, lives: &[Life]) {
    let mut port = tcp()
        .by_protocol()
        .config(|config| {
            // Long enough that an opening that comes in one write is whole before.
            config.settings_patience = Duration::from_millis(200);
            config.max_http1_head = 2_000;
        })
        .limits(|limits| limits.linger = Duration::from_millis(20))
        .open(kit);
    port.routes.remove("tls");
    let mut expected = BTreeMap::new();
    let living: Vec<_> = lives
        .iter()
        .map(|life| {
            let client = port.client();
            expected.insert(client.address(), *life);
            let life = *life;
            std::thread::spawn(move || life.live(client))
        })
        .collect();
    let clients: Vec<_> = living.into_iter().map(|life| life.join().expect("it lives")).collect();
    for life in lives {
        if let (_, Some(route @ ("http1" | "http2" | "grpc" | "ssh")), _) = life.ends() {
            drop(port.accept(route));
        }
    }
    let stay = lives.iter().filter(|life| life.ends().0 == [Outcome::Shutdown]).count();
    let records = port.records.wait_quietly(lives.len() - stay);
    check(&records, &expected);
    // Who is still with the system when the listener closes was never there.
    eventually("all of them", || port.control.counters().accepted == lives.len() as u64);
    port.control.shutdown();
    let counters = port.control.wait_served();
    let records = port.records.wait(lives.len());
    check(&records, &expected);
    check_books(&counters, &records);
    drop(clients);
}

fn check(records: &[crate::adapters::port::Record], expected: &BTreeMap<std::net::SocketAddr, Life>) {
    let mut seen = std::collections::BTreeSet::new();
    for record in records {
        let Address::Tcp(peer) = record.peer else { panic!("{record:?}") };
        assert!(seen.insert(peer), "twice: {record:?}");
        let (outcomes, route, greeted) = expected[&peer].ends();
        assert!(outcomes.contains(&record.outcome), "{:?}: {record:?}", expected[&peer]);
        assert_eq!(record.route.as_deref(), route, "{record:?}");
        assert_eq!(record.greeted, greeted, "{record:?}");
    }
}

/// Any mix of clients.
pub(crate) fn each_connection_has_exactly_one(kit: &dyn Kit) {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20,
        ..ProptestConfig::default()
    };
    let lives = proptest::collection::vec(Life::any(), 0..24);
    TestRunner::new(config)
        .run(&lives, |lives| {
            mix(kit, &lives);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// The hook runs wherever an outcome comes to be: on the way of a connection, in a server's loop that accepts, and while a panic
/// of a matcher unwinds. Its own panics go nowhere.
pub(crate) fn a_hook_that_panics_harms_nobody(kit: &dyn Kit) {
    let judge = |bytes: &[u8]| match bytes {
        [] => Verdict::NeedMore,
        [b'!', ..] => panic!("on purpose: a matcher"),
        _ => Verdict::NoMatch,
    };
    let mut port = tcp()
        .route("closure", prefix_fn(judge))
        .by_protocol()
        .on_outcome(|_| panic!("on purpose: the hook"))
        .open(kit);
    for _ in 0..2 {
        port.check_life("http1", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        port.client_that_says(b"!").expect_silent_end();
        port.client_that_says(b"?\r\n").expect_silent_end();
    }
    eventually("all have ended", || port.records.all().len() == 6);
    port.check_books();
}

/// The counters are there from the start, and the hook is called before they are asked in vain.
pub(crate) fn counters_can_be_asked_at_any_time(kit: &dyn Kit) {
    let port: Port = tcp().by_protocol().open(kit);
    assert_eq!(port.control.counters().accepted, 0);
    assert!(port.control.counters().tallies.is_empty());
    drop(port.client());
    assert_eq!(port.records.only(), Outcome::Left(Phase::Silent));
    assert!(port.records.only().is_probe());
    assert_eq!(port.control.counters().count("probe"), 1);
    port.check_books();
}
