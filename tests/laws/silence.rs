//! Law 1: the mux writes nothing to a client whose opening settles the verdict before patience has run out, and nothing ever
//! to a client that does not speak HTTP/2 (a refusal apart). When it does greet, it does so once.

use oneport_core::testing::{Client, GET, GRPC_CALL};
use oneport_core::{Outcome, Phase, Reason};
use proptest::prelude::*;

use crate::support::drive::{play, tell, Cuts};
use crate::support::model::PREFACE;
use crate::support::scene::{Scene, To};
use crate::support::strategies::{cuts, scene};
use crate::support::terms::Term;
use crate::support::words::Word;
use crate::support::{ms, s};

proptest! {
    #[test]
    fn only_a_client_that_waits_is_spoken_to(scene in scene(), cuts in cuts()) {
        let (seen, _) = play(&scene, &cuts);
        let is_refused = matches!(seen.outcome(), Some(Outcome::Refused(_) | Outcome::TimedOut(_)));
        let is_http2 = scene.client.bytes().starts_with(PREFACE);
        let last_words = seen.words.iter().position(|(at, _)| is_refused && *at == seen.at);
        for (at, word) in &seen.words[..last_words.unwrap_or(seen.words.len())] {
            prop_assert!(is_http2, "{word:?} to a client of another protocol");
            // Whatever is said comes from the greeting on, and that comes after a silence of the client.
            let (greeted, first) = &seen.words[0];
            prop_assert!(matches!(first, Word::Settings(_)), "{first:?} first");
            let patience = scene.config.settings_patience;
            let has_spoken_since = |from| scene.client.pieces().iter().any(|p| from < p.at && p.at < *greeted);
            prop_assert!(greeted.checked_sub(patience).is_some_and(|from| !has_spoken_since(from)));
            prop_assert!(at >= greeted);
        }
        let settings = seen.words.iter().filter(|(_, word)| matches!(word, Word::Settings(_))).count();
        prop_assert!(settings <= 1, "one SETTINGS at most, whatever the client and the routes (C-5, C-24)");
    }
}

/// C-3: one configuration for both kinds of client.
#[test]
fn an_eager_client_hears_nothing_and_a_waiting_one_is_greeted() {
    let eager = Scene::grpc_or_rest(Client::http2().settings(&[]).headers(1, GRPC_CALL));
    let seen = tell(&eager);
    assert_eq!((seen.to(), seen.said()), (Some(To::Route(0)), vec![]));

    let in_two = Client::http2().settings(&[]).pause(ms(5)).headers(1, GRPC_CALL);
    assert_eq!(tell(&Scene::grpc_or_rest(in_two)).said(), [], "within its patience, to the millisecond");

    let waiting = Client::http2().settings(&[]).pause(ms(6)).settings_ack().headers(1, GRPC_CALL);
    let seen = tell(&Scene::grpc_or_rest(waiting));
    assert_eq!(seen.to(), Some(To::Route(0)));
    let greeting = [Word::Settings(vec![(3, 100)]), Word::SettingsAck];
    assert_eq!(seen.words, greeting.map(|word| (ms(5), word)));
}

/// No route needs the request: nobody has to be greeted for it.
#[test]
fn a_verdict_that_needs_no_request_needs_no_greeting() {
    let waiting = Client::http2().settings(&[]).pause(s(1)).settings_ack().headers(1, GET);
    for routes in [
        vec![Term::Any],
        vec![Term::Http2],
        vec![Term::Http],
        vec![Term::Tls, Term::Ssh, Term::Http1, Term::Http2],
        vec![Term::Not(Box::new(Term::Http1))],
        // These can only be HTTP/1.
        vec![Term::H2cUpgrade, Term::Http2],
        vec![Term::Http1Method, Term::Prefix(b"PRI * HTTP/2.0\r\n\r\nSN")],
    ] {
        let seen = tell(&Scene::new(routes.clone(), waiting.clone()).otherwise());
        assert_eq!(seen.said(), [], "{routes:?}");
        assert_eq!(seen.backend(), waiting.bytes(), "the ACK is the backend's business");
    }
}

/// The patience starts anew with each byte, even of a frame that is not whole; half a frame does not hold the greeting back,
/// unless it is HEADERS.
#[test]
fn patience_is_counted_from_the_last_byte() {
    let half_of = |kind: u8| [0, 0, 40, kind, 0, 0, 0, 0, 1, 7, 7];
    let trickle = |kind| {
        Client::http2()
            .settings(&[])
            .pause(ms(4))
            .raw(&half_of(kind)[..9])
            .pause(ms(4))
            .raw(&half_of(kind)[9..])
    };
    let seen = tell(&Scene::grpc_or_rest(trickle(0xbe).pause(ms(50)).raw("x")));
    assert_eq!(seen.words.first(), Some(&(ms(13), Word::Settings(vec![(3, 100)]))));
    let seen = tell(&Scene::grpc_or_rest(trickle(1)));
    assert_eq!(seen.outcome(), Some(Outcome::TimedOut(Phase::Http2Headers)));
    assert_eq!(
        seen.words.first(),
        Some(&(s(10) + ms(4), Word::Settings(vec![(3, 100)]))),
        "with the refusal"
    );
}

/// PINGs do not shorten patience: they are answered with the greeting or not at all.
#[test]
fn a_ping_is_not_answered_before_the_greeting() {
    let eager = Client::http2().settings(&[]).ping([1; 8]).pause(ms(4)).headers(1, GRPC_CALL);
    let seen = tell(&Scene::grpc_or_rest(eager.clone()));
    assert_eq!((seen.said(), seen.backend()), (vec![], &eager.bytes()[..]));

    let waiting = Client::http2().settings(&[]).ping([1; 8]).pause(ms(9)).ping([2; 8]).headers(1, GRPC_CALL);
    let seen = tell(&Scene::grpc_or_rest(waiting));
    let expected = [
        (ms(5), Word::Settings(vec![(3, 100)])),
        (ms(5), Word::SettingsAck),
        (ms(5), Word::Pong([1; 8])),
        (ms(9), Word::Pong([2; 8])),
    ];
    assert_eq!(seen.words, expected);
}

/// R7: some clients wait for the ACK of their own SETTINGS, and each of them gets one; a later one, too.
#[test]
fn each_settings_of_a_waiting_client_is_acknowledged_once() {
    let twice = Client::http2().settings(&[]).settings(&[(4, 1 << 20)]).pause(ms(9)).settings_ack();
    let seen = tell(&Scene::grpc_or_rest(twice.headers(1, GRPC_CALL)));
    assert_eq!(seen.said(), [Word::Settings(vec![(3, 100)]), Word::SettingsAck, Word::SettingsAck]);

    let later = Client::http2().settings(&[]).pause(ms(9)).settings_ack().settings(&[(4, 1 << 20)]);
    let seen = tell(&Scene::grpc_or_rest(later.headers(1, GRPC_CALL)));
    assert_eq!(seen.said(), [Word::Settings(vec![(3, 100)]), Word::SettingsAck, Word::SettingsAck]);
    assert_eq!(seen.words[2].0, ms(9));
}

/// C-5: a mux that answers ACKs with SETTINGS plays ping-pong until somebody dies.
#[test]
fn an_ack_is_never_answered() {
    let mut storm = Client::http2().settings(&[]).pause(ms(9));
    for _ in 0..1_000 {
        storm = storm.settings_ack().pause(ms(6));
    }
    let seen = play(&Scene::grpc_or_rest(storm), &Cuts::whole()).0;
    assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(oneport_core::Bound::Frames))));
    let said = [Word::Settings(vec![(3, 100)]), Word::SettingsAck, Word::GoAway { last: 0, code: 11 }];
    assert_eq!(seen.said(), said);
}

/// Patience may be zero: then whatever is not there at once is waited for with a greeting.
#[test]
fn patience_may_be_zero() {
    let whole = Client::http2().settings(&[]).headers(1, GRPC_CALL);
    let scene = Scene::grpc_or_rest(whole).configured(|config| config.settings_patience = ms(0));
    assert_eq!(tell(&scene).said(), [], "the socket is read before the deadline counts");
    let in_two = Client::http2().settings(&[]).pause(ms(1)).headers(1, GRPC_CALL);
    let scene = Scene::grpc_or_rest(in_two).configured(|config| config.settings_patience = ms(0));
    assert_eq!(tell(&scene).words.first(), Some(&(ms(0), Word::Settings(vec![(3, 100)]))));
}
