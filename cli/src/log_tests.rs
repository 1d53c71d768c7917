//! Lines as they are written, and a stderr that takes nothing.

use std::sync::mpsc::channel;
use std::sync::Mutex;

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
    fn any_text_makes_one_line_and_valid_json(text: String) {
        let event = Event::new(Level::Warn, "connection").with("detail", text.as_str());
        let line = event.line(Format::Json, at(0));
        prop_assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(value["detail"].as_str(), Some(text.as_str()));
        let line = event.line(Format::Text, at(0));
        prop_assert!(line.ends_with('\n') && !line.trim_end_matches('\n').contains(char::is_control), "{:?}", line);
    }
}

/// Takes a line when it is told to.
struct Gate {
    open: Mutex<Receiver<()>>,
    taken: std::sync::mpsc::Sender<String>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.open.lock().unwrap().recv();
        let _ = self.taken.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_takes_nothing_holds_nobody_up_and_lost_lines_are_counted() {
    let (open, gate) = channel();
    let (taken, lines) = channel();
    let logger = Logger::to(Gate { open: Mutex::new(gate), taken }, Level::Info, Format::Text);
    let sent = QUEUE as u64 + 100;
    for n in 0..sent {
        logger.log(&Event::new(Level::Info, "line").with("n", n));
        logger.log(&Event::new(Level::Debug, "never"));
    }
    logger.flush();
    drop(open);
    let (mut written, mut lost) = (0, 0);
    while written + lost < sent {
        let line = lines.recv_timeout(Duration::from_secs(30)).expect("every line is written or counted");
        assert!(!line.contains("never"));
        match line.split_once("log-lines-dropped count=") {
            Some((_, count)) => lost += count.trim().parse::<u64>().unwrap(),
            None => written += 1,
        }
    }
    assert!(lost >= 99, "{lost} lines lost, {written} written");
    assert_eq!(written + lost, sent);
}

/// Closed.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn a_closed_output_is_no_error() {
    let logger = Logger::to(Closed, Level::Debug, Format::Json);
    for _ in 0..100 {
        logger.log(&Event::new(Level::Error, "line"));
    }
    let before = std::time::Instant::now();
    logger.flush();
    assert!(before.elapsed() < FLUSH, "the thread still runs and answers");
}
