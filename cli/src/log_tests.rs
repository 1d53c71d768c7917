//! Lines as they are written.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + 7)
}

#[test]
fn times_are_those_of_the_calendar() {
    for (seconds, shown) in [
        (0, "1970-01-01T00:00:00.007Z"),
        (951_782_399, "2000-02-28T23:59:59.007Z"),
        (951_782_400, "2000-02-29T00:00:00.007Z"),
        (951_868_800, "2000-03-01T00:00:00.007Z"),
        (1_709_164_800, "2024-02-29T00:00:00.007Z"),
        (1_735_689_599, "2024-12-31T23:59:59.007Z"),
        (4_107_542_400, "2100-03-01T00:00:00.007Z"),
    ] {
        assert_eq!(Utc(at(seconds)).to_string(), shown);
    }
}

#[test]
fn a_connection_in_both_formats() {
    let event = Event::new(Level::Info, "connection")
        .with("outcome", "routed")
        .with("route", "header:x=a b")
        .with("greeted", false)
        .with("verdict_ms", 12)
        .with_some("reason", None::<&str>);
    assert_eq!(
        event.line(Format::Text, at(0)),
        "1970-01-01T00:00:00.007Z info  connection outcome=routed route=\"header:x=a b\" greeted=false verdict_ms=12\n"
    );
    assert_eq!(
        event.line(Format::Json, at(0)),
        "{\"time\":\"1970-01-01T00:00:00.007Z\",\"level\":\"info\",\"event\":\"connection\",\"outcome\":\"routed\",\
         \"route\":\"header:x=a b\",\"greeted\":false,\"verdict_ms\":12}\n"
    );
}

proptest! {
    #[test]
    fn any_text_makes_one_line_and_valid_json(text: String, bytes: Vec<u8>) {
        let event = Event::new(Level::Warn, "connection")
            .with("detail", text.as_str())
            .with_peer_text("path", Some(&bytes));
        let line = event.line(Format::Json, at(0));
        prop_assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(value["detail"].as_str(), Some(text.as_str()));
        prop_assert!(value["path"].as_str().is_some_and(str::is_ascii), "{}", line);
        let line = event.line(Format::Text, at(0));
        prop_assert!(line.ends_with('\n') && !line.trim_end_matches('\n').contains(char::is_control), "{:?}", line);
    }
}

/// A peer has 64 KiB for a head, and a line for what it makes of it.
#[test]
fn what_a_peer_chose_is_cut_and_escaped_once() {
    let hostile = [&b"/"[..], &[0x80; 60_000]].concat();
    let event = Event::new(Level::Info, "request").with_peer_text("path", Some(&hostile));
    let shown = format!("/{}", r"\x80".repeat(PEER_TEXT - 1));
    let line = event.line(Format::Text, at(0));
    assert!(line.len() < 2_048, "{} bytes", line.len());
    assert!(line.ends_with(&format!(" path=\"{shown}\" path_bytes=60001\n")), "{line}");
    let line = event.line(Format::Json, at(0));
    assert!(line.len() < 2_048, "{} bytes", line.len());
    let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((value["path"].as_str(), value["path_bytes"].as_u64()), (Some(shown.as_str()), Some(60_001)));
}

#[test]
fn what_a_peer_chose_is_whole_up_to_the_bound() {
    let longest = [b'a'; PEER_TEXT];
    for (bytes, expected) in [
        (&b"/a"[..], " method=/a\n".to_owned()),
        (b"", " method=\"\"\n".to_owned()),
        (b"a b\"\\\n", format!(" method=\"a b{}\"\n", r#"\"\\\n"#)),
        (&longest, format!(" method={}\n", "a".repeat(PEER_TEXT))),
    ] {
        let line = Event::new(Level::Info, "request")
            .with_peer_text("method", Some(bytes))
            .with_peer_text("host", None)
            .line(Format::Text, at(0));
        assert!(line.ends_with(&expected), "{line}");
    }
}
