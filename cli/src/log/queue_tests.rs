//! A stderr that takes nothing, or takes nothing any more.

use std::sync::mpsc::{channel, Sender};
use std::sync::Mutex;

use super::*;

/// Takes a line when it is told to.
struct Gate {
    open: Mutex<Receiver<()>>,
    taken: Sender<String>,
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

/// A logger to a [`Gate`], what opens it when it is dropped, and the lines that went through.
fn gated() -> (Logger, Sender<()>, Receiver<String>) {
    let (open, gate) = channel();
    let (taken, lines) = channel();
    let gate = Gate { open: Mutex::new(gate), taken };
    (Logger::to(gate, Level::Info, Format::Text), open, lines)
}

/// Lines that were written until this many events are accounted for, and the number of those that were lost.
fn all_of(sent: u64, lines: &Receiver<String>) -> (Vec<String>, u64) {
    let (mut written, mut lost) = (Vec::new(), 0);
    while written.len() as u64 + lost < sent {
        let line = lines.recv_timeout(Duration::from_secs(30)).expect("every line is written or counted");
        match line.split_once("log-lines-dropped count=") {
            Some((_, count)) => lost += count.trim().parse::<u64>().expect("a number"),
            None => written.push(line),
        }
    }
    assert_eq!(written.len() as u64 + lost, sent);
    (written, lost)
}

#[test]
fn an_output_that_takes_nothing_holds_nobody_up_and_lost_lines_are_counted() {
    let (logger, open, lines) = gated();
    let sent = QUEUE as u64 + 100;
    for n in 0..sent {
        logger.log(&Event::new(Level::Info, "line").with("n", n));
        logger.log(&Event::new(Level::Debug, "never"));
    }
    logger.flush();
    drop(open);
    let (written, lost) = all_of(sent, &lines);
    assert!(!written.iter().any(|line| line.contains("never")));
    assert!(lost >= 99, "{lost} lines lost, {} written", written.len());
}

/// Each line is as large as a peer can make it: fewer lines than there are places take all the bytes.
#[test]
fn what_waits_for_an_output_that_takes_nothing_is_bounded_in_bytes() {
    let (logger, open, lines) = gated();
    let hostile = [0x80; 60_000];
    for _ in 0..QUEUE {
        logger.log(&Event::new(Level::Info, "request").with_peer_text("path", Some(&hostile)));
    }
    let held = logger.counts.held.load(Ordering::Relaxed);
    assert!((QUEUE_BYTES / 2..=QUEUE_BYTES).contains(&held), "{held} bytes");
    drop(open);
    let (written, lost) = all_of(QUEUE as u64, &lines);
    let bytes: usize = written.iter().map(String::len).sum();
    assert!(lost > 0 && bytes <= QUEUE_BYTES, "{bytes} bytes written, {lost} lines lost");
    // The last one is given back once it is written, which is behind what the gate says of it.
    let until = Instant::now() + Duration::from_secs(30);
    while logger.counts.held.load(Ordering::Relaxed) > 0 {
        assert!(Instant::now() < until, "bytes that nobody holds are counted");
        thread::yield_now();
    }
}

/// A stderr that is slow, and not stuck: it takes lines again while the end of the program waits.
#[test]
fn the_end_waits_for_an_output_that_still_takes_lines() {
    let (logger, open, lines) = gated();
    let sent = QUEUE as u64 + 100;
    for n in 0..sent {
        logger.log(&Event::new(Level::Info, "line").with("n", n));
    }
    let opening = thread::spawn(move || {
        thread::sleep(FLUSH / 4);
        drop(open);
    });
    logger.log_last(&Event::new(Level::Warn, "drain-cut"));
    logger.flush();
    // All that is ever said has been said by now.
    let lines: Vec<_> = lines.try_iter().collect();
    opening.join().expect("no panic");
    let dropped = lines.iter().filter_map(|line| line.split_once("dropped count=")).map(|(_, count)| count);
    let lost: u64 = dropped.map(|count| count.trim().parse::<u64>().expect("a number")).sum();
    let written = lines.iter().filter(|line| line.contains("info  line")).count() as u64;
    assert_eq!(written + lost, sent, "{lost} lost");
    assert_eq!(lines.iter().filter(|line| line.contains("drain-cut")).count(), 1);
}

/// What was dropped behind the last line that found room is still said.
#[test]
fn a_flush_says_how_many_lines_were_dropped() {
    let (taken, lines) = channel();
    let (open, gate) = channel();
    drop(open);
    let logger = Logger::to(Gate { open: Mutex::new(gate), taken }, Level::Info, Format::Json);
    logger.counts.dropped.store(3, Ordering::Relaxed);
    logger.flush();
    let line = lines.try_recv().expect("a line");
    assert!(line.contains(r#""event":"log-lines-dropped","count":3"#), "{line}");
}

/// One that takes nothing at all does not hold up the end for ever.
#[test]
fn the_end_does_not_wait_for_ever() {
    let (logger, open, _lines) = gated();
    for n in 0..QUEUE as u64 + 100 {
        logger.log(&Event::new(Level::Info, "line").with("n", n));
    }
    let begin = Instant::now();
    logger.log_last(&Event::new(Level::Warn, "drain-cut"));
    logger.flush();
    let waited = begin.elapsed();
    assert!((FLUSH..FLUSH * 6).contains(&waited), "{waited:?}");
    drop(open);
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
    let before = Instant::now();
    logger.flush();
    assert!(before.elapsed() < FLUSH, "the thread still runs and answers");
}

/// The system may have had no thread for it: then nothing is waited for.
#[test]
fn where_nobody_writes_the_end_is_not_held_up() {
    let (queue, _) = sync_channel(QUEUE);
    let logger = Logger { level: Level::Info, format: Format::Text, queue, counts: Arc::default() };
    for message in [Message::Line("a line".to_owned()), Message::Flush(sync_channel(1).0)] {
        let until = Instant::now() + Duration::from_secs(10);
        assert!(!logger.send(message, Some(until)));
        assert!(Instant::now() < until, "it was tried for as long");
        assert_eq!(logger.counts.held.load(Ordering::Relaxed), 0);
    }
}
