//! The recorded openings of real clients through the machine: whole, byte by byte, and in their recorded segments. Those of
//! clients that wait, with their pause and without.

use oneport_core::testing::{Client, Script};
use oneport_core::{Fact, Outcome, Phase};
use proptest::prelude::*;

use crate::flights::{flight, Flight, Speaks, FLIGHTS};
use crate::support::drive::{play, tell, Cuts, Player};
use crate::support::scene::{Scene, To};
use crate::support::strategies::{cuts, ACK};
use crate::support::terms::Term;
use crate::support::words::Word;
use crate::support::{ms, s};

fn routes() -> Vec<Term> {
    vec![
        Term::Ssh,
        Term::All(vec![Term::Tls, Term::Sni("a.example"), Term::Tls13]),
        Term::Tls,
        Term::H2cUpgrade,
        Term::Grpc,
        Term::Http2,
        Term::Http1,
    ]
}

/// Where each of them goes; the `silent` ones are beginnings of others.
fn expected(name: &str) -> Option<usize> {
    Some(match name {
        "ssh" => 0,
        "openssl-tls13" => 1,
        "openssl-tls12" | "curl-tls" => 2,
        "curl-h2c-upgrade" => 3,
        "grpc-go-1.33" | "grpcio-1.85" => 4,
        "curl-h2c-prior" | "envoy-upstream" | "h2load" | "httpx-h2" | "nghttp" => 5,
        "curl-h1" => 6,
        "grpc-go-1.33.silent" | "grpcio-1.85.silent" => return None,
        other => panic!("{other} is not in this table"),
    })
}

fn waits(flight: &Flight) -> bool {
    matches!(flight.name, "grpc-go-1.33" | "grpcio-1.85")
}

/// The flight in its recorded segments, with this pause between them.
fn in_segments(flight: &Flight, pause: u64) -> Script {
    let mut script = Client::silent();
    let mut rest = flight.bytes;
    for &segment in flight.segments {
        let (bytes, behind) = rest.split_at(segment);
        rest = behind;
        script = script.raw(bytes).pause(ms(pause));
    }
    script
}

/// Without a pause every client is eager: nothing is said, and every byte goes through, ACK and all.
#[test]
fn without_a_pause_every_byte_goes_through() {
    for flight in FLIGHTS {
        let Some(route) = expected(flight.name) else { continue };
        for client in [Client::silent().raw(flight.bytes), in_segments(flight, 0), in_segments(flight, 5)] {
            let seen = tell(&Scene::new(routes(), client));
            assert_eq!(seen.to(), Some(To::Route(route)), "{}", flight.name);
            assert_eq!(seen.backend(), flight.bytes, "{}", flight.name);
            assert_eq!(seen.said(), [], "{}", flight.name);
        }
    }
}

/// With its pause a client that waits is greeted, and its answer to that stays with the mux.
#[test]
fn clients_that_wait_are_greeted_and_their_ack_is_removed() {
    for flight in FLIGHTS.iter().filter(|flight| waits(flight)) {
        let at = flight.segments[0];
        assert_eq!(&flight.bytes[at..at + ACK.len()], &ACK, "the second segment begins with the ACK");
        let wanted = [&flight.bytes[..at], &flight.bytes[at + ACK.len()..]].concat();
        for pause in [6, 50, 1_500] {
            let seen = tell(&Scene::new(routes(), in_segments(flight, pause)));
            assert_eq!(seen.to(), Some(To::Route(4)), "{}", flight.name);
            assert_eq!(seen.backend(), wanted, "{}", flight.name);
            let greeting = [Word::Settings(vec![(3, 100)]), Word::SettingsAck];
            assert_eq!(seen.words, greeting.map(|word| (ms(5), word)), "{}", flight.name);
        }
    }
}

/// curl, nghttp, h2load, httpx and Envoy wait for nothing: httpx sends two segments, and needs no greeting in between.
#[test]
fn clients_that_do_not_wait_are_greeted_only_when_they_are_slow() {
    let httpx = flight("httpx-h2");
    assert_eq!(tell(&Scene::new(routes(), in_segments(httpx, 4))).said(), []);
    let slow = tell(&Scene::new(routes(), in_segments(httpx, 40)));
    assert_eq!((slow.to(), slow.said().len()), (Some(To::Route(5)), 2));
    assert_eq!(slow.backend(), httpx.bytes, "it sends no ACK in its opening: the ledger waits for it");
}

/// What a client that waits sends before it is greeted leaves it waiting, and its channel may stay idle for long.
#[test]
fn what_a_waiting_client_sends_first_decides_nothing() {
    for name in ["grpc-go-1.33.silent", "grpcio-1.85.silent"] {
        let flight = flight(name);
        let seen = tell(&Scene::new(routes(), Client::silent().raw(flight.bytes)));
        assert_eq!(seen.outcome(), Some(Outcome::TimedOut(Phase::Http2Idle)), "{name}");
        assert_eq!(seen.at, ms(5) + s(35 * 60), "{name}");
        let whole = FLIGHTS.iter().find(|whole| waits(whole) && whole.bytes.starts_with(flight.bytes));
        assert!(whole.is_some(), "{name} is the beginning of a call");
    }
}

proptest! {
    /// In any segments, and with the opening of a waiting client torn apart by any pause.
    #[test]
    fn segments_do_not_matter(i in 0..FLIGHTS.len(), cuts in cuts(), at in any::<prop::sample::Index>(), pause in 0..200_u64) {
        let flight = &FLIGHTS[i];
        let script = Client::silent().raw(flight.bytes).delayed_at(at.index(flight.bytes.len()), ms(pause));
        let seen = play(&Scene::new(routes(), script), &cuts).0;
        if let Some(route) = expected(flight.name) {
            prop_assert_eq!(seen.to(), Some(To::Route(route)));
            let is_greeted = !seen.words.is_empty();
            // An ACK that comes behind a greeting is taken for its answer.
            let lost = flight.bytes.len() - seen.backend().len();
            prop_assert!(lost == 0 || (is_greeted && lost == ACK.len() && waits(flight)));
        }
    }
}

/// What the machine has learned of each, in the words of a log line.
#[test]
fn the_facts_of_each_opening() {
    for flight in FLIGHTS {
        let mut player = Player::new(&Scene::new([], Client::silent()));
        player.input(flight.bytes);
        let handover;
        let facts = match player.machine.facts() {
            Some(facts) => facts,
            None => {
                // Refused at once; ask again with a route that takes it at its end.
                let scene = Scene::new([Term::Not(Box::new(Term::Prefix(b"\0")))], Client::silent())
                    .configured(|config| config.complete_facts = true);
                let mut player = Player::new(&scene);
                player.input(flight.bytes);
                handover = player.into_handover();
                handover.facts()
            }
        };
        match flight.speaks {
            Speaks::Http1 => {
                assert_eq!(facts.request().map(|r| r.method().to_vec()), Fact::Present(b"GET".to_vec()));
                assert_eq!(
                    facts.request().map(|r| r.authority().map(<[u8]>::to_vec)),
                    Fact::Present(Some(b"127.0.0.1".to_vec()))
                );
                assert!(facts.tls() == Fact::Absent && facts.http2() == Fact::Absent);
            }
            Speaks::Http2 => assert!(facts.http2().is_present() && facts.http1() == Fact::Absent),
            Speaks::Ssh => assert!(!facts.http1().is_present() && !facts.http2().is_present()),
            Speaks::Tls => {
                let hello = facts.tls().present().expect("a hello");
                let name = if flight.name == "curl-tls" { "localhost" } else { "a.example" };
                assert_eq!(hello.sni(), Some(name));
                assert!(hello.alpn().any(|protocol| protocol == b"h2"));
            }
        }
    }
}

/// Each flight with junk behind it: an HTTP/1 body, a second request, early data.
#[test]
fn junk_behind_an_opening_changes_nothing() {
    for flight in FLIGHTS {
        let Some(route) = expected(flight.name) else { continue };
        let client = Client::silent().raw(flight.bytes).raw([0xff; 300]);
        let (seen, _) = play(&Scene::new(routes(), client.clone()), &Cuts::whole());
        assert_eq!(seen.to(), Some(To::Route(route)), "{}", flight.name);
        assert_eq!(seen.backend(), client.bytes(), "{}", flight.name);
    }
}
