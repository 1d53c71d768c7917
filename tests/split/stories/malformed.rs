//! Rule 8: what is no message is an error of its stream, and goes nowhere.

use oneport_core::split::{SplitConfig, SplitOutcome};
use oneport_core::wire::frame::ErrorCode;

use super::super::rig::{Rig, GET, OK, POST};
use super::super::strict::{data, head, Word};

#[test]
fn malformed_requests_are_reset_and_never_passed_on() {
    let with = |field: (&'static str, &'static str)| [GET.to_vec(), vec![field]].concat();
    for fields in [
        with(("connection", "close")),
        with(("transfer-encoding", "chunked")),
        with(("te", "gzip")),
        with(("Upper", "x")),
        with(("a b", "x")),
        with(("a", "x\r\nb: y")),
        with(("host", "other")),
        with((":path", "/again")),
        with(("content-length", "1")),
        with(("content-length", "x")),
        with((":status", "200")),
        GET[..3].iter().filter(|(name, _)| *name != ":method").copied().collect(),
        vec![
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
        ],
    ] {
        let mut rig = Rig::new();
        rig.client.say_head(1, &fields, true, None);
        rig.client.say_head(3, &GET, true, None);
        rig.run();
        rig.expect_client(1, &[Word::Reset(1)]);
        assert_eq!(rig.at("rest").ids(), [3], "{fields:?}");
    }
}

#[test]
fn content_is_as_long_as_it_was_announced() {
    let announced = [POST.to_vec(), vec![("content-length", "5")]].concat();
    for (parts, is_good) in [
        (&[&b"12345"[..]][..], true),
        (&[b"123", b"45"], true),
        (&[b"12345", b""], true),
        (&[b"1234"], false),
        (&[b"123456"], false),
        (&[b"123", b"456"], false),
        (&[b""], false),
    ] {
        let mut rig = Rig::new();
        rig.client.say_head(1, &announced, false, None);
        rig.run();
        let (last, rest) = parts.split_last().unwrap();
        for part in rest {
            rig.client.say_data(1, part, false, None);
        }
        rig.client.say_data(1, last, true, None);
        rig.run();
        assert_eq!(rig.at("rest").words(1).contains(&Word::End), is_good, "{parts:?}");
        if !is_good {
            assert_eq!(rig.at("rest").words(1).last(), Some(&Word::Reset(8)));
            rig.expect_client(1, &[Word::Reset(1)]);
        }
    }
    let mut rig = Rig::new();
    rig.client.say_head(1, &announced, false, None);
    rig.client.say_data(1, b"1234", false, None);
    rig.client.say_head(1, &[("t", "u")], true, None);
    rig.run();
    rig.expect_client(1, &[Word::Reset(1)]);
    // Of nothing there is nothing to come.
    let empty = [POST.to_vec(), vec![("content-length", "0")]].concat();
    rig.client.say_head(3, &empty, true, None);
    rig.run();
    rig.expect_at("rest", 3, &[head(&empty), Word::End]);
    // Trailers end a response too early as well.
    let short = [(":status", "200"), ("content-length", "5")];
    rig.at("rest").say_head(3, &short, false, None);
    rig.at("rest").say_data(3, b"1234", false, None);
    rig.at("rest").say_head(3, &[("t", "u")], true, None);
    rig.run();
    assert_eq!(rig.client.words(3).last(), Some(&Word::Reset(2)), "{:?}", rig.client.words(3));
}

#[test]
fn trailers_are_checked() {
    for (fields, ends) in [(&[("a", "b")][..], false), (&[(":path", "/")], true), (&[("upgrade", "x")], true)]
    {
        let mut rig = Rig::new();
        rig.client.say_head(1, &POST, false, None);
        rig.run();
        rig.client.say_head(1, fields, ends, None);
        rig.run();
        rig.expect_client(1, &[Word::Reset(1)]);
        rig.expect_at("rest", 1, &[head(&POST), Word::Reset(8)]);
    }
}

#[test]
fn frames_behind_the_end() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.client.say_data(1, b"x", false, None);
    rig.run();
    rig.expect_client(1, &[Word::Reset(5)]);
    rig.get(3, "/");
    rig.at("rest").say_head(3, &OK, true, None);
    rig.run();
    assert_eq!(rig.machine.streams(), 0);
    rig.client.say_head(3, &GET, true, None);
    rig.run();
    assert_eq!(rig.outcome, Some(SplitOutcome::Refused(ErrorCode::STREAM_CLOSED)));
}

#[test]
fn malformed_responses_are_answered_for() {
    let bad = [head(&[(":status", "502")]), Word::End];
    for fields in [
        vec![("a", "b")],
        vec![(":status", "20")],
        vec![(":status", "101")],
        vec![(":status", "200"), (":status", "200")],
        vec![(":status", "200"), ("connection", "close")],
        vec![(":status", "200"), ("content-length", "5")],
        vec![(":status", "103")],
    ] {
        let mut rig = Rig::new();
        rig.get(1, "/");
        rig.get(3, "/");
        rig.at("rest").say_head(1, &fields, true, None);
        rig.at("rest").say_head(3, &OK, true, None);
        rig.run();
        rig.expect_client(1, &bad);
        rig.expect_client(3, &[head(&OK), Word::End]);
        assert_eq!(rig.at("rest").words(1).last(), Some(&Word::Reset(1)), "{fields:?}");
    }
    // DATA before the response.
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.at("rest").say_data(1, b"x", false, None);
    rig.run();
    rig.expect_client(1, &bad);
    // More than was announced, when it is too late for another answer.
    rig.get(3, "/");
    rig.at("rest").say_head(3, &[(":status", "200"), ("content-length", "2")], false, None);
    rig.at("rest").say_data(3, b"ab", false, None);
    rig.run();
    rig.at("rest").say_data(3, b"c", true, None);
    rig.run();
    rig.expect_client(3, &[head(&[(":status", "200"), ("content-length", "2")]), data("ab"), Word::Reset(2)]);
}

#[test]
fn trailers_of_responses_are_checked() {
    for (fields, ends) in [
        (&[("a", "b")][..], false),
        (&[(":status", "200")], true),
        (&[("upgrade", "x")], true),
        (&[("a", "x\r\nb: y")], true),
    ] {
        let mut rig = Rig::new();
        rig.get(1, "/");
        rig.at("rest").say_head(1, &OK, false, None);
        rig.at("rest").say_data(1, b"x", false, None);
        rig.run();
        rig.at("rest").say_head(1, fields, ends, None);
        rig.run();
        rig.expect_client(1, &[head(&OK), data("x"), Word::Reset(2)]);
        assert_eq!(rig.at("rest").words(1).last(), Some(&Word::Reset(1)), "{fields:?}");
    }
}

#[test]
fn responses_without_content_may_announce_some() {
    let response = |status| [(":status", status), ("content-length", "500")];
    let mut rig = Rig::new();
    rig.client.say_head(1, &[(":method", "HEAD"), (":scheme", "http"), (":path", "/")], true, None);
    rig.get(3, "/");
    rig.get(5, "/");
    for (id, status) in [(1, "200"), (3, "204"), (5, "304")] {
        rig.at("rest").say_head(id, &response(status), true, None);
        rig.run();
        rig.expect_client(id, &[head(&response(status)), Word::End]);
    }
    // Behind the success of a CONNECT it means nothing (RFC 9110 §9.3.6), behind its failure it does.
    for (id, status) in [(7, "200"), (9, "403"), (11, "204")] {
        rig.client.say_head(id, &[(":method", "CONNECT"), (":authority", "db:5432")], false, None);
        rig.run();
        rig.at("rest").say_head(id, &response(status), false, None);
        rig.at("rest").say_data(id, b"tunnel", true, None);
        rig.run();
    }
    rig.expect_client(7, &[head(&response("200")), data("tunnel"), Word::End]);
    rig.expect_client(9, &[head(&response("403")), Word::Reset(2)]);
    rig.expect_client(11, &[head(&response("204")), data("tunnel"), Word::End]);
}

/// RFC 9113 §6.9: an error of the stream alone.
#[test]
fn a_window_that_grows_by_nothing_is_an_error() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    rig.get(3, "/");
    rig.at("rest").grant(1, 0);
    rig.at("rest").say_head(3, &OK, true, None);
    rig.run();
    rig.expect_client(1, &[head(&[(":status", "502")]), Word::End]);
    assert_eq!(rig.at("rest").words(1).last(), Some(&Word::Reset(1)));
    rig.expect_client(3, &[head(&OK), Word::End]);
}

#[test]
fn interim_responses_are_bounded() {
    let mut rig = Rig::new();
    rig.get(1, "/");
    for _ in 0..33 {
        rig.at("rest").say_head(1, &[(":status", "103")], false, None);
    }
    rig.run();
    assert_eq!(rig.client.words(1).len(), 32 + 2);
    assert_eq!(rig.client.words(1)[32..], [head(&[(":status", "502")]), Word::End]);
    // All of them together are as large as one list may be, and not larger.
    let hint = |length| [(":status", "103".to_string()), ("link", "x".repeat(length))];
    let size = 32 + ":status103".len() + 32 + "link".len();
    for (more, is_passed_on) in [(0, true), (1, false)] {
        let mut config = SplitConfig::default();
        config.max_header_list = 1_000;
        let mut rig = Rig::with(config);
        rig.get(1, "/");
        for length in [500 - size, 500 - size + more] {
            let hint = hint(length);
            let fields = [(hint[0].0, hint[0].1.as_str()), (hint[1].0, hint[1].1.as_str())];
            rig.at("rest").say_head(1, &fields, false, None);
        }
        rig.at("rest").say_head(1, &OK, true, None);
        rig.run();
        assert_eq!(rig.client.words(1).contains(&head(&OK)), is_passed_on, "{more}");
    }
}

/// gRPC servers end `grpc-message` with a blank if the text of their error does, and everybody lets them. The blanks are no part of
/// the value (RFC 9110 §5.5), and are not passed on.
#[test]
fn blanks_around_a_value_are_taken_off() {
    let mut rig = Rig::new();
    let request = |value: &'static str| {
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("x", value), ("y", " \t ")]
    };
    rig.client.say_head(1, &request("\t a b \t"), true, None);
    rig.run();
    let trimmed = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("x", "a b"), ("y", "")];
    rig.expect_at("rest", 1, &[head(&trimmed), Word::End]);
    rig.at("rest").say_head(1, &OK, false, None);
    rig.at("rest").say_head(1, &[("grpc-status", "5"), ("grpc-message", "no such user: ")], true, None);
    rig.run();
    let trailers = [("grpc-status", "5"), ("grpc-message", "no such user:")];
    rig.expect_client(1, &[head(&OK), head(&trailers), Word::End]);
    // Those that say where a message goes, and where it ends, are to be exact.
    for (id, field) in [(3, ("host", "a ")), (5, ("content-length", " 0")), (7, (":authority", " a"))] {
        let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":path", "/")];
        fields.insert(3, field);
        rig.client.say_head(id, &fields, true, None);
        rig.run();
        rig.expect_client(id, &[Word::Reset(1)]);
    }
}
