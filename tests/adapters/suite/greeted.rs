//! Greeted connections: the client's acknowledgement never reaches the backend, the backend's SETTINGS are reconciled, its
//! acknowledgements of what the mux has acknowledged are dropped; in every cut on both sides (laws 5, 6 and 7).

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::sync::atomic::Ordering;
use std::thread;

use oneport::StillOwed;
use oneport_core::wire::frame::{flag, Kind, PREFACE};

use crate::adapters::client::Client;
use crate::adapters::frames::{frame, greeting, request, settings, settings_ack, waiting, Waiting};
use crate::adapters::kit::{Faults, Kit, Served};
use crate::adapters::port::{handed, pairs, tcp, Port};

/// The words of a backend that answers a call: its SETTINGS, a PING and a window around its acknowledgement, a response whose
/// DATA looks like an acknowledgement, and an acknowledgement of SETTINGS that the client sends later.
fn backend_words() -> Vec<u8> {
    [
        settings(&[(1, 4_096), (9, 1), (4, 1 << 20), (0xfe03, 7)]),
        frame(Kind::WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]),
        settings_ack(),
        rest_of_words(),
    ]
    .concat()
}

fn rest_of_words() -> Vec<u8> {
    [
        frame(Kind::PING, 0, 0, b"bdp-ping"),
        frame(Kind::HEADERS, flag::END_HEADERS, 1, &[0x88]),
        frame(Kind::DATA, 0, 1, &settings_ack()),
        settings_ack(),
        frame(Kind::DATA, flag::END_STREAM, 1, b"the end"),
    ]
    .concat()
}

/// What a client that was greeted with the default greeting is to read of them.
fn client_words() -> Vec<u8> {
    [
        settings(&[(1, 4_096), (4, 1 << 20), (0xfe03, 7), (3, 0x7fff_ffff)]),
        frame(Kind::WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]),
        rest_of_words(),
    ]
    .concat()
}

/// How a backend writes.
#[derive(Clone, Copy, Debug)]
enum Style {
    Bytewise,
    Unflushed,
    /// In two pieces, cut here.
    Cut(usize),
    /// In one vectored write of three slices, cut here.
    Vectored(usize, usize),
}

fn write(served: &mut dyn Served, style: Style, words: &[u8]) {
    match style {
        Style::Bytewise => words.iter().for_each(|byte| served.say(&[*byte])),
        Style::Unflushed => served.write_all(words).expect("the client reads"),
        Style::Cut(at) => {
            served.say(&words[..at]);
            served.say(&words[at..]);
        }
        Style::Vectored(a, b) => {
            let (mut pieces, mut at) = ([&words[..a], &words[a..b], &words[b..]], 0);
            while at < words.len() {
                let slices = pieces.map(IoSlice::new);
                let mut n = served.write_vectored_once(&slices).expect("the client reads");
                assert!(n > 0, "{style:?} at {at}");
                at += n;
                for piece in &mut pieces {
                    let taken = n.min(piece.len());
                    *piece = &piece[taken..];
                    n -= taken;
                }
            }
            served.flush().expect("the client reads");
        }
    }
}

/// One connection of a recorded client that waits, its reads cut and its backend's writes limited like this; it settles all
/// ledgers and ends as a straight pipe.
fn call(port: &mut Port, waiting: &Waiting, faults: Faults, style: Style) {
    let case = format!("{} {:?} {style:?}", waiting.name, faults.read_cuts);
    let mut client = port.pair(faults);
    client.send(waiting.before);
    client.expect(&greeting());
    client.send(waiting.after);
    let mut served = port.accept("grpc");
    assert!(served.about().was_greeted, "{case}");
    served.expect(&waiting.seen());

    write(served.as_mut(), style, &backend_words());
    client.expect(&client_words());
    assert_eq!(served.owed(), None, "{case}");

    // A later acknowledgement is the backend's own business.
    client.send(&settings_ack());
    served.expect(&settings_ack());
    let mut bare = served.into_inner().map_err(|(_, owes)| owes).expect("nothing is owed");
    bare.write_all(b"straight").and_then(|()| bare.flush()).expect("the client reads");
    client.expect(b"straight");
    client.send(b"through");
    let mut through = [0; 7];
    bare.read_exact(&mut through).expect("the client writes");
    assert_eq!(&through, b"through");
}

/// The recorded clients, with their bytes cut at every place, also where the acknowledgement comes in single bytes.
pub(crate) fn recorded_clients_in_every_cut(kit: &dyn Kit) {
    let mut port = pairs().by_protocol().impatient().open(kit);
    for waiting in Waiting::all() {
        let whole = waiting.before.len() + waiting.after.len();
        for cut in 1..whole {
            let faults = Faults { read_cuts: vec![cut], ..Faults::default() };
            call(&mut port, &waiting, faults, Style::Unflushed);
        }
        let start = waiting.before.len();
        for pieces in 1..=9 {
            let read_cuts = (0..pieces).map(|i| start + i).collect();
            call(&mut port, &waiting, Faults { read_cuts, ..Faults::default() }, Style::Unflushed);
        }
        let faults = Faults { read_at_most: Some(1), ..Faults::default() };
        call(&mut port, &waiting, faults, Style::Bytewise);
    }
    assert_eq!(port.control.counters().not_http2, 0);
    port.check_books();
}

/// The backend's words cut at every place, whatever the socket takes of them at a time, flushed or not.
pub(crate) fn backends_in_every_cut(kit: &dyn Kit) {
    let mut port = pairs().by_protocol().impatient().open(kit);
    let [waiting, _] = Waiting::all();
    let length = backend_words().len();
    for write_at_most in [None, Some(1), Some(5)] {
        let faults = || Faults { write_at_most, stutters: true, is_vectored: true, ..Faults::default() };
        for at in 1..length {
            call(&mut port, &waiting, faults(), Style::Cut(at));
        }
        for a in (0..length).step_by(7) {
            for b in (a..length).step_by(31) {
                call(&mut port, &waiting, faults(), Style::Vectored(a, b));
            }
        }
        call(&mut port, &waiting, faults(), Style::Bytewise);
        call(&mut port, &waiting, faults(), Style::Unflushed);
    }
}

/// The inner stream can be had as soon as nothing is owed, and not before; the reason is said. A read that yields nothing but an
/// acknowledgement that is taken out is not the end.
pub(crate) fn the_inner_stream_is_owed_until_all_is_settled(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().impatient().open(kit);
    let mut client = port.client_that_says(&waiting());
    client.expect(&greeting());
    client.send(&request("application/grpc"));
    let served = port.accept("grpc");
    let opening = [waiting(), request("application/grpc")].concat();

    let mut served = still_owes(served, StillOwed::Replay(opening.len()));
    served.expect(&opening[..10]);
    let mut served = still_owes(served, StillOwed::Replay(opening.len() - 10));
    served.expect(&opening[10..]);
    let mut served = still_owes(served, StillOwed::ClientAck);

    client.send(&settings_ack());
    let mut later = client.share();
    let sending = thread::spawn(move || {
        // Time for a reader that takes the acknowledgement for the end to say so.
        thread::sleep(std::time::Duration::from_millis(30));
        later.send(&frame(Kind::DATA, 0, 1, b"not the end"));
    });
    served.expect(&frame(Kind::DATA, 0, 1, b"not the end"));
    sending.join().expect("it is read");

    let mut served = still_owes(served, StillOwed::BackendSettings);
    served.say(&settings(&[]));
    client.expect(&settings(&[(3, 0x7fff_ffff)]));
    let mut served = still_owes(served, StillOwed::BackendSettings);
    served.say(&settings_ack());
    let mut bare = served.into_inner().map_err(|(_, owes)| owes).expect("nothing is owed");
    bare.write_all(b"bare").expect("the client reads");
    client.expect(b"bare");
}

#[track_caller]
fn still_owes(served: Box<dyn Served>, owed: StillOwed) -> Box<dyn Served> {
    assert_eq!(served.owed(), Some(owed));
    let Err((served, reason)) = served.into_inner() else { panic!("something is owed") };
    assert_eq!(reason, owed);
    served
}

/// A connection that was not greeted owes its replay and nothing else.
pub(crate) fn an_eager_connection_owes_its_replay_only(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().open(kit);
    let opening = [waiting(), request("application/grpc")].concat();
    let mut client = port.client_that_says(&opening);
    let mut served = still_owes(port.accept("grpc"), StillOwed::Replay(opening.len()));
    assert!(!served.about().was_greeted);
    served.expect(&opening);
    assert_eq!(served.owed(), None);
    served.say(&backend_words());
    client.expect(&backend_words());
}

/// The inner stream's answer on vectored writes holds from the first call, whatever is owed: servers ask once.
pub(crate) fn vectored_writes_are_the_inner_streams_from_the_first_call(kit: &dyn Kit) {
    let mut port = pairs().by_protocol().impatient().open(kit);
    for is_vectored in [true, false] {
        for is_waiting in [true, false] {
            let faults = Faults { is_vectored, ..Faults::default() };
            let seen = faults.seen.clone();
            let mut client = port.pair(faults);
            client.send(&waiting());
            if is_waiting {
                client.expect(&greeting());
            }
            client.send(&request("application/grpc"));
            let mut served = port.accept("grpc");
            // Not every runtime's traits ask.
            let check = |answer: Option<bool>| assert!(answer.is_none() || answer == Some(is_vectored));
            check(served.writes_vectored());
            write(served.as_mut(), Style::Vectored(20, 30), &backend_words());
            check(served.writes_vectored());

            // Where nothing is owed (any more), it also gets them as they come.
            let before = seen.vectored_writes.load(Ordering::Relaxed);
            served.write_vectored_once(&[IoSlice::new(b"a"), IoSlice::new(b"b")]).expect("it reads");
            assert_eq!(seen.vectored_writes.load(Ordering::Relaxed), before + 1);
        }
    }
}

/// A backend behind an HTTP/2 route that does not speak it is passed through as it is, and counted.
pub(crate) fn a_backend_that_is_not_http2_is_counted(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().impatient().open(kit);
    let [waiting, _] = Waiting::all();
    let mut client = port.client_that_says(waiting.before);
    client.expect(&greeting());
    client.send(waiting.after);
    let mut served = port.accept("grpc");
    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    served.say(answer);
    client.expect(answer);
    assert_eq!(port.control.counters().not_http2, 1);
}

/// Two halves of a connection share its ledgers: one reads past the acknowledgement while the other writes, and together they are
/// whole again with nothing owed.
pub(crate) fn halves_share_the_ledgers(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().impatient().open(kit);
    for waiting in Waiting::all() {
        let mut client = port.client_that_says(waiting.before);
        client.expect(&greeting());
        client.send(waiting.after);
        let served = port.accept("grpc");
        let mut read = vec![0; waiting.seen().len()];
        let served = served.on_halves(&mut read, &backend_words());
        assert_eq!(read, waiting.seen());
        client.expect(&client_words());
        assert_eq!(served.owed(), None);
    }
}

/// A waiting client's PINGs are answered with the greeting and after it, and the backend never sees them.
pub(crate) fn pings_are_answered_and_taken_out(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().impatient().open(kit);
    let ping = |opaque: &[u8; 8]| frame(Kind::PING, 0, 0, opaque);
    let pong = |opaque: &[u8; 8]| frame(Kind::PING, flag::ACK, 0, opaque);
    let mut client = port.client_that_says(&[waiting(), ping(b"at first")].concat());
    client.expect(&[greeting(), pong(b"at first")].concat());
    client.send(&ping(b"and then"));
    client.expect(&pong(b"and then"));
    client.send(&[settings_ack(), ping(b"at last.")].concat());
    client.expect(&pong(b"at last."));
    client.send(&request("application/grpc"));
    port.accept("grpc").expect(&[waiting(), request("application/grpc")].concat());
}

/// SETTINGS that come late, while the connection is still undecided, are acknowledged too, and so many of the backend's
/// acknowledgements are dropped.
pub(crate) fn every_settings_of_the_client_is_acknowledged_once(kit: &dyn Kit) {
    let mut port = tcp().by_protocol().impatient().open(kit);
    let mut client = port.client_that_says(&waiting());
    client.expect(&greeting());
    client.send(&settings(&[(4, 70_000)]));
    client.expect(&settings_ack());
    client.send(&[settings_ack(), request("application/grpc")].concat());
    let mut served = port.accept("grpc");
    served.expect(&[waiting(), settings(&[(4, 70_000)]), request("application/grpc")].concat());
    served.say(&[settings(&[(3, 7)]), settings_ack(), settings_ack(), settings_ack()].concat());
    client.expect(&[settings(&[(3, 7)]), settings_ack()].concat());
    assert_eq!(served.owed(), None);
}

/// A greeted client whose connection breaks or ends has left, and no backend is touched.
pub(crate) fn a_greeted_client_may_leave(kit: &dyn Kit) {
    use oneport::{Outcome, Phase};
    let mut port = tcp().by_protocol().impatient().open(kit);
    let idle = |port: &Port| -> Client {
        let mut client = port.client_that_says(&waiting());
        client.expect(&greeting());
        client.send(&settings_ack());
        client
    };
    let mut client = idle(&port);
    client.finish();
    client.expect_silent_end();
    idle(&port).reset();
    let records = port.records.wait(2);
    for record in &records {
        assert_eq!((record.outcome, record.greeted), (Outcome::Left(Phase::Http2Idle), true));
    }
    port.check_life("ssh", crate::flights::flight("ssh").bytes);
    port.records.wait(3);
    port.check_books();
}

/// Whatever a backend's write was told to have been accepted arrives, wherever it ends and although it never flushes.
pub(crate) fn what_a_write_accepted_arrives(kit: &dyn Kit) {
    let mut port = handed().by_protocol().impatient().open(kit);
    let [waiting, _] = Waiting::all();
    for length in 1..backend_words().len() {
        let mut client = port.pair(Faults::default());
        client.send(waiting.before);
        client.expect(&greeting());
        client.send(waiting.after);
        let mut served = port.accept("grpc");
        served.expect(&waiting.seen());
        served.write_all(&backend_words()[..length]).expect("the client reads");
        served.finish().expect("the client reads");
        let read = client.read_to_fin();
        // What an end makes of SETTINGS or of an acknowledgement that are cut is their client's business.
        if length > backend_words().len() - rest_of_words().len() {
            let expected = client_words().len() - (backend_words().len() - length);
            assert_eq!(read, client_words()[..expected], "{length}");
        }
    }
}

/// What a write accepted and the socket has not taken yet goes on with a flush, and also while the server waits for an answer.
pub(crate) fn what_is_left_over_is_pushed_on(kit: &dyn Kit) {
    let mut port = pairs().by_protocol().impatient().open(kit);
    for is_flushed in [true, false] {
        let mut client = port.pair(Faults { write_at_most: Some(1), stutters: true, ..Faults::default() });
        client.send(&waiting());
        client.expect(&greeting());
        client.send(&[settings_ack(), request("application/grpc")].concat());
        let mut served = port.accept("grpc");
        served.expect(&[waiting(), request("application/grpc")].concat());
        // SETTINGS are held back until they are whole, and then accepted at once.
        served.write_all(&settings(&[])).expect("the client reads");
        if is_flushed {
            served.flush().expect("the client reads");
        }
        let serving = thread::spawn(move || {
            if !is_flushed {
                served.expect(b"an answer");
            }
            served
        });
        client.expect(&settings(&[(3, 0x7fff_ffff)]));
        client.send(b"an answer");
        let mut served = serving.join().expect("it is answered");
        if is_flushed {
            served.expect(b"an answer");
        }
    }
}

/// A waiting client that speaks no HTTP/2 is never greeted, however long it waits.
pub(crate) fn only_http2_is_greeted(kit: &dyn Kit) {
    let mut port = tcp()
        .route("never", oneport::matchers::header("x-never", oneport::matchers::present()))
        .otherwise("other")
        .impatient()
        .open(kit);
    let almost = &PREFACE[..23];
    let mut clients: Vec<_> = [&b""[..], b"GET / HTTP/1.1\r\n", b"SSH", &[22, 3, 1], almost]
        .iter()
        .map(|opening| port.client_that_says(opening))
        .collect();
    // A client that is greeted meanwhile shows that patience has run out for all.
    let mut greeted = port.client_that_says(&waiting());
    greeted.expect(&greeting());
    for client in &mut clients {
        assert!(client.hears_nothing());
    }
    // The last one goes on and speaks HTTP/2 after all.
    let last = clients.last_mut().expect("some");
    last.send(&waiting()[23..]);
    last.expect(&greeting());
    drop(clients);
    greeted.finish();
    match port.route("other").accept() {
        Some(mut served) => {
            let error = served.read_to_end(&mut Vec::new()).err().map(|error| error.kind());
            assert!(matches!(error, None | Some(ErrorKind::ConnectionReset)));
        }
        None => panic!("not the end of the route"),
    }
}
