//! Law 8: before the verdict, memory, frames, header-list size and time are bounded. At a bound: the defined refusal, memory
//! flat. At the bound itself all is well.

use std::time::{Duration, Instant};

use oneport_core::testing::{literals, Client, Hello, Script, Shape, GRPC_CALL};
use oneport_core::wire::frame::Kind;
use oneport_core::{matchers, Bound, Config, MuxMachine, Outcome, Output, Reason, Routes};
use proptest::prelude::*;

use crate::support::drive::{play, tell, Cuts, Player};
use crate::support::ms;
use crate::support::scene::{Scene, To};
use crate::support::strategies::{cuts, scene};
use crate::support::terms::Term;
use crate::support::words::Word;

const PROTOCOL_IS_FINE: u32 = 0;
const FRAME_SIZE_ERROR: u32 = 6;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What one connection may hold at the most: every bound at its limit, one read more, and the room that a growing buffer has
/// to spare; the same again for what is kept of it in other form.
fn most_memory(config: &Config) -> usize {
    const READ: usize = 16 * 1024;
    let frame = 9 + config.max_frame_size as usize;
    let http2 = 24
        + (config.max_frames as usize + config.ping_burst as usize + 1) * frame
        + config.max_header_block
        + (config.max_continuations as usize + 2) * 9
        + 256;
    let opening = http2.max(config.max_http1_head).max(config.max_client_hello).max(config.max_prefix);
    2 * (opening + READ) + config.max_header_block + 2 * config.max_header_list + 64 * 1024
}

proptest! {
    #[test]
    fn no_scene_holds_more_than_its_bounds(scene in scene(), cuts in cuts()) {
        let (_, cost) = play(&scene, &cuts);
        prop_assert!(cost.peak <= most_memory(&scene.config), "{} bytes", cost.peak);
        // Nothing is set aside for what has not come.
        prop_assert!(cost.peak <= 4 * scene.client.bytes().len() + 4 * 1024, "{} bytes", cost.peak);
    }
}

/// At the bound it goes to gRPC, one beyond it is refused, and not even `otherwise` gets it: padding is no way around a route.
#[track_caller]
fn is_bounded(bound: Bound, code: u32, at: Script, beyond: Script) {
    let seen = tell(&Scene::grpc_or_rest(at));
    assert_eq!(seen.to(), Some(To::Route(0)), "at the bound");
    let seen = tell(&Scene::grpc_or_rest(beyond));
    assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(bound))));
    assert_eq!(seen.said().last(), Some(&Word::GoAway { last: 0, code }));
    assert_eq!(seen.said().iter().filter(|word| matches!(word, Word::Settings(_))).count(), 1);
}

fn http2() -> Script {
    Client::http2().settings(&[])
}

fn repeated(script: Script, n: usize, one: impl Fn(Script) -> Script) -> Script {
    (0..n).fold(script, |script, _| one(script))
}

/// T-cap-frames. Here SETTINGS count as well: they stay in the replay.
#[test]
fn frames() {
    let frames = |n| repeated(http2(), n, |script| script.window_update(0, 1)).headers(1, GRPC_CALL);
    is_bounded(Bound::Frames, ENHANCE_YOUR_CALM, frames(15), frames(16));
    let unknown =
        |n| repeated(http2(), n, |script| script.frame(Kind(0xee), 0, 0, &[])).headers(1, GRPC_CALL);
    is_bounded(Bound::Frames, ENHANCE_YOUR_CALM, unknown(15), unknown(16));
    let pings = |n| repeated(http2(), n, |script| script.ping([0; 8])).headers(1, GRPC_CALL);
    is_bounded(Bound::Frames, ENHANCE_YOUR_CALM, pings(15), pings(16));
}

/// What the mux answers or takes out is not counted.
#[test]
fn frames_that_leave_the_replay_do_not_count() {
    let client = |frames| {
        let client = repeated(http2(), 4, |script| script.ping([0; 8])).pause(ms(20)).settings_ack();
        let client = repeated(client, 4, |script| script.ping([0; 8]));
        repeated(client, frames, |script| script.priority(3)).headers(1, GRPC_CALL)
    };
    let seen = tell(&Scene::grpc_or_rest(client(15)));
    assert_eq!(seen.to(), Some(To::Route(0)));
    let seen = tell(&Scene::grpc_or_rest(client(16)));
    assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::Frames))));
    // Also where they come when there is room for no frame more.
    let last = repeated(http2(), 15, |script| script.priority(3)).pause(ms(20)).settings_ack().ping([0; 8]);
    assert_eq!(tell(&Scene::grpc_or_rest(last.headers(1, GRPC_CALL))).to(), Some(To::Route(0)));
    let acks = |n| repeated(http2().pause(ms(20)), n, Script::settings_ack).headers(1, GRPC_CALL);
    assert_eq!(tell(&Scene::grpc_or_rest(acks(16))).to(), Some(To::Route(0)), "the first one leaves");
    assert!(tell(&Scene::grpc_or_rest(acks(17))).to().is_none());
}

#[test]
fn settings() {
    let settings =
        |n| repeated(Client::http2(), n, |script| script.settings(&[(3, 1)])).headers(1, GRPC_CALL);
    is_bounded(Bound::Settings, ENHANCE_YOUR_CALM, settings(2), settings(3));
    let later = |n| repeated(http2().pause(ms(20)), n, |script| script.settings(&[])).headers(1, GRPC_CALL);
    let seen = tell(&Scene::grpc_or_rest(later(1)));
    assert_eq!(seen.to(), Some(To::Route(0)));
    let seen = tell(&Scene::grpc_or_rest(later(2)));
    assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::Settings))));
}

#[test]
fn settings_entries() {
    let entries = |n| Client::http2().settings(&vec![(0xf000, 1); n]).headers(1, GRPC_CALL);
    is_bounded(Bound::SettingsEntries, ENHANCE_YOUR_CALM, entries(64), entries(65));
}

/// The head of a frame says how long it is: nobody waits for the rest of one that is too long.
#[test]
fn frame_size() {
    let frame = |n| http2().frame(Kind(0xee), 0, 0, &vec![0; n]);
    is_bounded(
        Bound::FrameSize,
        FRAME_SIZE_ERROR,
        frame(16_384).headers(1, GRPC_CALL),
        http2().raw(b"\0\x40\x01\xee\0\0\0\0\0"),
    );
    let settings = Client::http2().raw(b"\0\x40\x01\x04\0\0\0\0\0");
    let seen = tell(&Scene::grpc_or_rest(settings));
    assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::FrameSize))));
}

/// A block that is as long as it says: one field is filled up.
fn block_of(len: usize) -> Vec<u8> {
    let with = |filler: usize| literals(&[GRPC_CALL, &[("x-filler", &"f".repeat(filler))]].concat());
    // The length of the filler takes one byte, two or three itself.
    let least = len - with(0).len() - 3;
    let filler = (least..).find(|&filler| with(filler).len() >= len).unwrap();
    let block = with(filler);
    assert_eq!(block.len(), len);
    block
}

#[test]
fn header_block() {
    let scene = |len: usize| {
        let shape = Shape { cuts: (1..6).map(|i| i * 16_000).collect(), ..Shape::default() };
        let client = http2().block(1, &block_of(len), &shape);
        // A list counts more than the block that it was.
        Scene::grpc_or_rest(client).configured(|config| config.max_header_list = 128 * 1024)
    };
    let whole = |len| play(&scene(len), &Cuts::whole()).0;
    let pieces = |len| play(&scene(len), &Cuts(vec![1_000])).0;
    assert_eq!((whole(65_536).to(), pieces(65_536).to()), (Some(To::Route(0)), Some(To::Route(0))));
    let refused = Some(Outcome::Refused(Reason::TooLarge(Bound::HeaderBlock)));
    assert_eq!((whole(65_537).outcome(), pieces(65_537).outcome()), (refused, refused));
    assert_eq!(whole(65_537).said().last(), Some(&Word::GoAway { last: 0, code: ENHANCE_YOUR_CALM }));

    // In one frame, where that is allowed.
    let single = |len: usize| {
        let client = http2().block(1, &block_of(len), &Shape::default());
        Scene::grpc_or_rest(client).configured(|config| {
            config.max_frame_size = 1 << 20;
            config.max_header_block = 5_000;
        })
    };
    assert_eq!(tell(&single(5_000)).to(), Some(To::Route(0)));
    assert_eq!(tell(&single(5_001)).outcome(), refused);
}

/// CVE-2024-27316 and its kin; empty ones count.
#[test]
fn continuations() {
    let block = literals(GRPC_CALL);
    let empty = |n| http2().block(1, &block, &Shape { cuts: vec![block.len(); n], ..Shape::default() });
    is_bounded(Bound::Continuations, ENHANCE_YOUR_CALM, empty(8), empty(9));
    let cut = |n| http2().block(1, &block, &Shape { cuts: (1..=n).collect(), ..Shape::default() });
    is_bounded(Bound::Continuations, ENHANCE_YOUR_CALM, cut(8), cut(9));
}

/// By the size that RFC 9113 §6.5.2 counts: name, value and 32 for each field.
#[test]
fn header_list() {
    let list_size =
        |fields: &[(&str, &str)]| fields.iter().map(|(n, v)| n.len() + v.len() + 32).sum::<usize>();
    let scene = |max: usize| {
        let client = http2().headers(1, GRPC_CALL);
        Scene::grpc_or_rest(client).configured(|config| config.max_header_list = max)
    };
    let size = list_size(GRPC_CALL);
    assert_eq!(tell(&scene(size)).to(), Some(To::Route(0)));
    let seen = tell(&scene(size - 1));
    assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::HeaderList))));

    // A bomb: a long value enters the table once and is named many times, one byte each.
    let mut bomb = vec![0x40, 1, b'a', 0x7f, 0xa1, 0x1e];
    bomb.extend([b'b'; 4_000]);
    bomb.extend([0xbe; 12_000]);
    let scene = Scene::grpc_or_rest(http2().frame(Kind::HEADERS, 4, 1, &bomb));
    let (seen, cost) = play(&scene, &Cuts::whole());
    assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::HeaderList))));
    assert!(cost.peak <= most_memory(&Config::default()), "{} bytes", cost.peak);
}

/// P-1: 1 per second, after a burst of 8; PINGs from before the greeting are part of the burst.
#[test]
fn pings() {
    let pings = |early: usize, late: usize| {
        let client = repeated(http2(), early, |script| script.ping([1; 8])).pause(ms(20));
        repeated(client, late, |script| script.ping([2; 8])).headers(1, GRPC_CALL)
    };
    for (early, late) in [(0, 8), (8, 0), (3, 5)] {
        let seen = tell(&Scene::grpc_or_rest(pings(early, late)));
        assert_eq!(seen.to(), Some(To::Route(0)), "{early} and {late}");
        assert_eq!(seen.said().iter().filter(|word| matches!(word, Word::Pong(_))).count(), 8);
        let seen = tell(&Scene::grpc_or_rest(pings(early, late + 1)));
        assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::Pings))));
        assert_eq!(seen.said().last(), Some(&Word::GoAway { last: 0, code: ENHANCE_YOUR_CALM }));
    }
    assert!(tell(&Scene::grpc_or_rest(pings(9, 0))).to().is_none());

    // What was used up comes back one by one.
    let later = |n: usize| {
        let client = repeated(http2().pause(ms(20)), 8, |script| script.ping([2; 8])).pause(ms(3_900));
        play(
            &Scene::grpc_or_rest(repeated(client, n, |script| script.ping([3; 8])).headers(1, GRPC_CALL)),
            &Cuts::whole(),
        )
        .0
    };
    assert_eq!(later(3).to(), Some(To::Route(0)));
    assert_eq!(later(4).outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::Pings))));

    // What was not used up is not saved.
    let rested = |n: usize| {
        let client = repeated(http2().pause(ms(10_000)), n, |script| script.ping([3; 8]));
        tell(&Scene::grpc_or_rest(client.headers(1, GRPC_CALL)))
    };
    assert_eq!(rested(8).to(), Some(To::Route(0)));
    assert_eq!(rested(9).outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::Pings))));

    let every = |interval: u64, n: usize| {
        let client = repeated(http2().pause(ms(20)), n, |script| script.ping([3; 8]).pause(ms(interval)));
        play(&Scene::grpc_or_rest(client.headers(1, GRPC_CALL)), &Cuts::whole()).0.to()
    };
    assert_eq!(every(1_000, 200), Some(To::Route(0)), "once per second for ever");
    assert_eq!(every(900, 200), None, "a little too fast");
}

/// D-2, D-11. An opening of exactly the bound is a head; one byte more is refused with 431, as soon as it is clear.
#[test]
fn http1_head() {
    let head = |len: usize| {
        let start = "GET /x HTTP/1.1\r\nHost: a.example\r\nX-Filler: ";
        let end = "\r\nx-tenant: blue\r\n\r\n";
        format!("{start}{}{end}", "f".repeat(len - start.len() - end.len()))
    };
    let scene = |len: usize| {
        Scene::new([Term::HeaderIs("x-tenant", "blue")], Client::silent().raw(head(len))).otherwise()
    };
    for cuts in [Cuts::whole(), Cuts(vec![999])] {
        let seen = play(&scene(65_536), &cuts).0;
        assert_eq!((seen.to(), seen.backend().len()), (Some(To::Route(0)), 65_536));
        let seen = play(&scene(65_537), &cuts).0;
        assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::Http1Head))));
        assert_eq!(seen.said(), [Word::Http1 { status: 431, has_body: true }]);
    }
    // A body behind it does not count.
    let client = Client::silent().raw(head(65_536)).raw(vec![b'x'; 20_000]);
    let scene = Scene::new([Term::HeaderIs("x-tenant", "blue")], client);
    assert_eq!(play(&scene, &Cuts(vec![16_384])).0.to(), Some(To::Route(0)));
    // A request line without end.
    let endless = Client::silent().raw(format!("GET /{}", "x".repeat(70_000)));
    let seen = play(&Scene::new([Term::Http1], endless).otherwise(), &Cuts(vec![999])).0;
    assert_eq!(seen.said(), [Word::Http1 { status: 431, has_body: true }]);
}

/// A ClientHello of any size up to the bound, in any records: the length it announces is enough to refuse it.
#[test]
fn client_hello() {
    let mut hello = Hello::to("a.example");
    hello.filler = 3_000;
    hello.fragment = 100;
    let bytes = hello.encode();
    let scene = |max: usize| {
        let client = Client::silent().raw(&bytes);
        Scene::new([Term::Sni("a.example")], client)
            .otherwise()
            .configured(|config| config.max_client_hello = max)
    };
    assert_eq!(tell(&scene(bytes.len())).to(), Some(To::Route(0)));
    let seen = tell(&scene(bytes.len() - 1));
    assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::ClientHello))));
    assert_eq!(seen.said(), [Word::Alert(80)], "internal_error");
    let announced = Client::silent().raw(b"\x16\x03\x01\x40\0\x01\x01\0\0");
    let seen = tell(&Scene::new([Term::Tls], announced).otherwise());
    assert_eq!(seen.outcome(), Some(Outcome::Refused(Reason::TooLarge(Bound::ClientHello))));
}

/// Law 9: a full prefix is "no match", since no protocol was recognised, and only for the raw matchers themselves.
#[test]
fn prefix() {
    let bytes = |n: usize| Client::silent().raw([b"\x01".as_slice(), &vec![0; n - 1]].concat());
    let at = |last| Scene::new([Term::ByteAt(last, 0)], bytes(5_000)).otherwise();
    assert_eq!(tell(&at(4_095)).to(), Some(To::Route(0)));
    assert_eq!(tell(&at(4_096)).to(), Some(To::Otherwise), "beyond what they see");
    let cut = Scene::new([Term::ByteAt(4_096, 0)], bytes(4_095)).otherwise();
    assert_eq!(tell(&cut).outcome(), Some(Outcome::TimedOut(oneport_core::Phase::Opening)), "not full yet");

    // A closure over the facts is not cut short by a prefix that is full.
    let head = format!("GET /x HTTP/1.1\r\nCookie: {}\r\n\r\n", "c".repeat(6_000));
    let seen = tell(&Scene::new([Term::FactsPath("/x")], Client::silent().raw(head)).otherwise());
    assert_eq!(seen.to(), Some(To::Route(0)));
}

/// R8: floods of one kind, more than a MiB of each. What is held is bounded from the first byte to the last.
#[test]
fn floods_leave_memory_flat() {
    let many = |one: &[u8]| one.repeat((2 << 20) / one.len() + 1);
    let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[7; 8]].concat();
    let record = [&[22, 3, 1, 0, 100][..], &[0; 100]].concat();
    let hello_start = [&[22, 3, 1, 0, 4, 1, 0, 0xff, 0][..], &many(&record)].concat();
    let floods: [(&str, Script); 13] = [
        (
            "unknown frames",
            http2().raw(many(&[&[0, 0x40, 0, 0xee, 0, 0, 0, 0, 0][..], &[0; 16_384]].concat())),
        ),
        ("empty unknown frames", http2().raw(many(&[0, 0, 0, 0xee, 0, 0, 0, 0, 0]))),
        ("PINGs", http2().raw(many(&ping))),
        ("PINGs of a greeted client", http2().pause(ms(20)).raw(many(&ping))),
        ("SETTINGS", http2().raw(many(&[0, 0, 0, 4, 0, 0, 0, 0, 0]))),
        ("ACKs of a greeted client", http2().pause(ms(20)).raw(many(&[0, 0, 0, 4, 1, 0, 0, 0, 0]))),
        ("empty CONTINUATIONs", {
            http2().frame(Kind::HEADERS, 0, 1, &[0x83]).raw(many(&[0, 0, 0, 9, 0, 0, 0, 0, 1]))
        }),
        ("full CONTINUATIONs", {
            let frame = [&[0, 0x40, 0, 9, 0, 0, 0, 0, 1][..], &[0x83; 16_384]].concat();
            http2().frame(Kind::HEADERS, 0, 1, &[0x83]).raw(many(&frame))
        }),
        ("DATA", http2().raw(many(&[&[0, 0x40, 0, 0, 0, 0, 0, 0, 1][..], &[0; 16_384]].concat()))),
        ("HTTP/1 fields", Client::silent().raw("GET /x HTTP/1.1\r\n").raw(many(b"x-flood: x\r\n"))),
        ("a request line", Client::silent().raw("GET /").raw(many(b"x"))),
        ("ClientHello records", Client::silent().raw(hello_start)),
        ("zeros", Client::silent().raw(many(&[0]))),
    ];
    let most = most_memory(&Config::default());
    for (what, client) in floods {
        assert!(client.bytes().len() > 1 << 20);
        // None of these routes can be satisfied before the bound.
        let routes =
            [Term::Grpc, Term::HeaderIs("x-tenant", "blue"), Term::Sni("a.example"), Term::ByteAt(9_999, 1)];
        let mut player = Player::new(&Scene::new(routes, client.clone()));
        let mut taken = 0;
        for piece in client.pieces() {
            player.wait(piece.at);
            player.now = piece.at;
            for chunk in piece.bytes.chunks(16_384) {
                if !player.is_over() {
                    player.input(chunk);
                    taken += chunk.len();
                }
            }
        }
        assert!(player.is_over(), "{what} must be refused");
        assert!(!matches!(player.outcome(), Some(Outcome::Routed(_))), "{what}: {:?}", player.outcome());
        assert!(player.cost.peak <= most, "{what}: {} bytes held", player.cost.peak);
        assert!(taken <= most, "{what}: {taken} bytes read");
        assert_eq!(player.machine.buffered(), 0, "{what}: held after the end");
    }
}

/// The linear cost of law 2's worst case: a head at its bound that comes byte by byte. Quadratic work would take minutes.
#[test]
fn a_full_opening_byte_by_byte_is_no_attack() {
    let head = format!("GET /x HTTP/1.1\r\nX: {}\r\n\r\n", "f".repeat(60_000));
    let seen = play(
        &Scene::new([Term::HeaderIs("x", "y")], Client::silent().raw(head)).otherwise(),
        &Cuts::bytewise(),
    )
    .0;
    assert_eq!(seen.to(), Some(To::Otherwise));
    let shape = Shape { cuts: (1..5).map(|i| i * 13_000).collect(), ..Shape::default() };
    let client = http2().block(1, &block_of(60_000), &shape);
    assert_eq!(play(&Scene::grpc_or_rest(client), &Cuts::bytewise()).0.to(), Some(To::Route(0)));
    let mut hello = Hello::to("a.example");
    hello.filler = 50_000;
    hello.fragment = 50;
    let client = Client::tls(&hello);
    let seen = play(&Scene::new([Term::Sni("a.example")], client), &Cuts::bytewise()).0;
    assert_eq!(seen.to(), Some(To::Route(0)));
}

/// The codes above are those of RFC 9113 §7, and a client that kept to every bound hears none of them.
#[test]
fn a_client_within_all_bounds_is_not_called_names() {
    let seen = tell(&Scene::new([Term::Grpc], http2().headers(1, oneport_core::testing::GET)));
    assert_eq!(seen.said().last(), Some(&Word::GoAway { last: 1, code: PROTOCOL_IS_FINE }));
}

/// What the machine says in the end to a client that never stops; never does it hold more than it may.
#[track_caller]
fn flood(mut machine: MuxMachine<&str>, config: &Config, now: Instant) -> Outcome {
    for _ in 0..1_000 {
        machine.handle_input(&[b'x'; 16 * 1024], now);
        assert!(machine.buffered() <= most_memory(config), "{} bytes", machine.buffered());
        loop {
            match machine.poll_output() {
                Output::Write(_) => {}
                Output::NeedInput { .. } => break,
                Output::Closed(outcome) => return outcome,
                Output::Routed(_) | Output::Split(_) => panic!("it is refused"),
            }
        }
    }
    panic!("it listens for ever");
}

#[test]
fn a_refused_opening_that_turns_out_as_http2_where_requests_are_routed_one_by_one() {
    let now = Instant::now();
    let mut config = Config::default();
    config.per_request = true;
    let routes = Routes::new().route(matchers::ssh(), "ssh").on_timeout("slow");
    let mut machine = MuxMachine::new(routes.into(), config.clone().into(), now);
    machine.handle_input(b"PRI * HTTP/2.0\r\n\r\nSM", now);
    let later = now + config.opening_deadline;
    machine.handle_timeout(later);
    let Output::Routed(handover) = machine.poll_output() else { panic!("it has waited long enough") };
    let mut machine = handover.refuse(Reason::BackendDown, later);
    machine.handle_input(b"\r\n\r\n", later);
    let outcome = flood(machine, &config, later + Duration::from_millis(1));
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}

#[test]
fn a_bound_within_the_preface_where_requests_are_routed_one_by_one() {
    let now = Instant::now();
    for limit in [1, 5, 11] {
        let mut config = Config::default();
        config.per_request = true;
        config.max_http1_head = limit;
        let routes = Routes::new().route(matchers::http1(), "http1").otherwise("rest");
        let mut machine = MuxMachine::new(routes.into(), config.clone().into(), now);
        machine.handle_input(b"PRI * HTTP/2.0\r\n\r\n", now);
        assert_eq!(
            flood(machine, &config, now),
            Outcome::Refused(Reason::TooLarge(Bound::Http1Head)),
            "{limit}"
        );
    }
}

#[test]
fn what_raw_matchers_were_shown_counts() {
    let now = Instant::now();
    let config = Config::default();
    let judge = matchers::prefix_fn(|_| matchers::Verdict::NeedMore);
    let routes = Routes::new().route(judge, "raw").route(matchers::grpc(), "grpc");
    let mut machine = MuxMachine::new(routes.into(), config.clone().into(), now);
    let pinged = Client::http2().settings(&[]).ping([0; 8]).bytes();
    let mut unfinished = vec![0, 0x3f, 0, 0x21, 0, 0, 0, 0, 0];
    unfinished.resize(4_000, 7);
    machine.handle_input(&[pinged, unfinished].concat(), now);
    let before = machine.buffered();
    assert!(!machine.is_greeted());
    machine.handle_timeout(now + config.settings_patience);
    assert!(machine.is_greeted());
    assert!(machine.buffered() >= before + 4_000, "{} bytes, {before} before", machine.buffered());
}

#[test]
fn a_header_block_that_is_not_whole_counts_beside_the_opening() {
    let now = Instant::now();
    let routes = Routes::new().route(matchers::grpc(), "grpc");
    let mut machine = MuxMachine::new(routes.into(), Config::default().into(), now);
    let part = Client::http2().settings(&[]).frame(Kind::HEADERS, 0, 1, &[7; 10_000]).bytes();
    machine.handle_input(&part, now);
    assert!(machine.buffered() >= part.len() + 10_000, "{} bytes", machine.buffered());
}
