use std::io::{self, ErrorKind};
use std::task::Poll;

use bytes::Bytes;
use oneport_core::split::{Batch, ConnectionEnd};

use super::super::link::{link, Link, LinkHop};
use super::super::Hop;
use super::{noise, words, Task};

/// What one write buffer of the server takes.
const CAPACITY: usize = 64 * 1024;

/// Both ends, and who polls: the server's reading and writing tasks are two, as halves of a split connection.
struct Rig {
    link: Link,
    hop: LinkHop,
    reader: Task,
    writer: Task,
    driver: Task,
}

impl Rig {
    fn new() -> Self {
        let (link, hop) = link();
        Self { link, hop, reader: Task::new(), writer: Task::new(), driver: Task::new() }
    }

    fn read(&self, most: usize) -> Poll<io::Result<Vec<u8>>> {
        let mut bytes = Vec::new();
        let read = self.link.poll_read(&self.reader.cx(), most, |slice| bytes.extend_from_slice(slice));
        read.map_ok(|count| {
            assert_eq!(count, bytes.len());
            bytes
        })
    }

    fn write(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.link.poll_write(&self.writer.cx(), [bytes].into_iter())
    }

    fn send(&mut self, batch: &mut Batch) -> Poll<io::Result<()>> {
        self.hop.poll_send(&mut self.driver.cx(), batch)
    }

    fn receive(&mut self) -> Poll<io::Result<Bytes>> {
        self.hop.poll_receive(&mut self.driver.cx())
    }
}

#[track_caller]
fn kind<T: std::fmt::Debug>(poll: Poll<io::Result<T>>) -> ErrorKind {
    match poll {
        Poll::Ready(Err(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn ready<T: std::fmt::Debug>(poll: Poll<io::Result<T>>) -> T {
    match poll {
        Poll::Ready(Ok(value)) => value,
        other => panic!("{other:?}"),
    }
}

/// What goes either way is not for logs.
#[test]
fn what_is_on_its_way_is_not_printed() {
    let mut rig = Rig::new();
    let (mut batch, _) = words();
    assert!(rig.send(&mut batch).is_pending());
    assert_eq!(ready(rig.write(b"hunter2")), 7);
    let text = format!("{:?}", rig.link);
    assert!(text.contains("7 bytes") && text.contains("Batch("), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("104, 117, 110"), "{text}");
}

/// The server reads a batch in pieces; when it has read all of it, the driver is woken and gets it back to be used again.
#[test]
fn a_batch_is_read_in_pieces_and_comes_back() {
    let mut rig = Rig::new();
    let (mut batch, bytes) = words();
    assert!(rig.read(8).is_pending());
    assert!(rig.send(&mut batch).is_pending());
    assert!(rig.reader.was_woken());
    assert!(batch.is_empty(), "the link has it");

    assert_eq!(ready(rig.read(0)), b"", "nothing is asked for");
    let (first, rest) = bytes.split_at(5);
    assert_eq!(ready(rig.read(5)), first);
    assert!(!rig.driver.was_woken());
    assert!(rig.send(&mut batch).is_pending(), "it is not read yet");
    assert_eq!(ready(rig.read(1_000)), rest);
    assert!(rig.driver.was_woken());
    ready(rig.send(&mut batch));
    assert!(batch.is_empty());

    // And again, on the same link.
    assert!(rig.read(8).is_pending());
    let (mut batch, bytes) = words();
    assert!(rig.send(&mut batch).is_pending());
    assert!(rig.reader.was_woken());
    assert_eq!(ready(rig.read(1_000)), bytes);
}

/// A server may write so much ahead; then it waits, and hears when the driver has taken it. Reading does not disturb that.
#[test]
fn a_full_link_makes_its_writer_wait() {
    let mut rig = Rig::new();
    assert!(rig.receive().is_pending());
    let bytes = noise(CAPACITY + 10);
    assert_eq!(ready(rig.write(&bytes[..CAPACITY - 1])), CAPACITY - 1);
    assert!(rig.driver.was_woken());
    assert_eq!(ready(rig.write(&bytes[CAPACITY - 1..])), 1, "what fits");
    assert!(rig.write(b"more").is_pending());
    assert_eq!(ready(rig.write(b"")), 0, "nothing always fits");
    // The other task of the server waits to read meanwhile.
    assert!(rig.read(8).is_pending());
    assert_eq!(ready(rig.receive()), bytes[..CAPACITY]);
    assert!(rig.writer.was_woken());
    assert!(!rig.reader.was_woken());
    assert_eq!(ready(rig.write(b"more")), 4);
    assert_eq!(ready(rig.receive()), &b"more"[..]);

    let (mut batch, _) = words();
    assert!(rig.send(&mut batch).is_pending());
    assert!(rig.reader.was_woken(), "its waker was kept all the time");
}

#[test]
fn slices_are_written_in_order_as_far_as_they_fit() {
    let mut rig = Rig::new();
    let slices = [&b""[..], b"ab", b"", b"cd"];
    let written = rig.link.poll_write(&rig.writer.cx(), slices.into_iter());
    assert_eq!(ready(written), 4);
    assert_eq!(ready(rig.receive()), &b"abcd"[..]);
}

/// Whatever the order in which the two sides wait and move, nobody who can go on is left waiting.
#[test]
fn no_wakeup_is_lost() {
    let mut rig = Rig::new();
    let upload = noise(300_000);
    let mut written = 0;
    let mut received = 0;
    let (mut sent, mut read, mut expected) = (0, 0, 0);
    let mut batch: Option<Batch> = None;
    // Everybody runs when woken, and once at the beginning.
    let (mut reader_runs, mut writer_runs, mut driver_runs) = (true, true, true);
    for _ in 0..1_000_000 {
        if std::mem::take(&mut writer_runs) {
            while written < upload.len() {
                let piece = &upload[written..upload.len().min(written + 5_000)];
                match rig.write(piece) {
                    Poll::Ready(count) => written += count.expect("open"),
                    Poll::Pending => break,
                }
            }
        } else if std::mem::take(&mut reader_runs) {
            while let Poll::Ready(bytes) = rig.read(7) {
                read += bytes.expect("open").len();
            }
        } else if std::mem::take(&mut driver_runs) {
            while let Poll::Ready(bytes) = rig.receive() {
                received += bytes.expect("open").len();
            }
            loop {
                if batch.is_none() && sent < 100 {
                    let (words, bytes) = words();
                    expected += bytes.len();
                    sent += 1;
                    batch = Some(words);
                }
                let Some(words) = &mut batch else { break };
                if rig.hop.poll_send(&mut rig.driver.cx(), words).is_pending() {
                    break;
                }
                batch = None;
            }
        }
        reader_runs |= rig.reader.was_woken();
        writer_runs |= rig.writer.was_woken();
        driver_runs |= rig.driver.was_woken();
        if !(reader_runs || writer_runs || driver_runs) {
            break;
        }
    }
    assert_eq!((written, received), (upload.len(), upload.len()), "all of the server's bytes");
    assert_eq!((sent, read), (100, expected), "all of the driver's");
    assert!(batch.is_none());
}

/// The server ends its side: what it wrote arrives, then the end. It still reads.
#[test]
fn the_servers_fin() {
    let mut rig = Rig::new();
    assert!(rig.receive().is_pending());
    ready(rig.write(b"last"));
    rig.link.close();
    assert!(rig.driver.was_woken());
    assert_eq!(kind(rig.write(b"more")), ErrorKind::BrokenPipe);
    assert_eq!(ready(rig.receive()), &b"last"[..]);
    assert_eq!(ready(rig.receive()), &b""[..]);
    let (mut batch, bytes) = words();
    assert!(rig.send(&mut batch).is_pending());
    assert_eq!(ready(rig.read(1_000)), bytes);
    drop(rig.link);
    assert_eq!(ready(rig.hop.poll_receive(&mut rig.driver.cx())), &b""[..], "it stays a clean end");
}

/// Another handle of the server's waits in a write while this one ends the side.
#[test]
fn a_write_that_waits_ends_with_its_side() {
    let rig = Rig::new();
    ready(rig.write(&noise(CAPACITY)));
    assert!(rig.write(b"more").is_pending());
    rig.link.close();
    assert!(rig.writer.was_woken());
    assert_eq!(kind(rig.write(b"more")), ErrorKind::BrokenPipe);
}

/// The server drops its end: what it wrote arrives, then a reset; what it has not read is not waited for.
#[test]
fn the_servers_reset() {
    let mut rig = Rig::new();
    let (mut batch, _) = words();
    assert!(rig.send(&mut batch).is_pending());
    assert!(rig.receive().is_pending());
    ready(rig.write(b"last"));
    assert!(rig.driver.was_woken());
    assert!(rig.send(&mut batch).is_pending());
    drop(rig.link);
    assert!(rig.driver.was_woken());
    let cx = &mut rig.driver.cx();
    assert!(rig.hop.poll_send(cx, &mut batch).is_ready(), "it is given back");
    let (mut batch, _) = words();
    assert_eq!(kind(rig.hop.poll_send(cx, &mut batch)), ErrorKind::BrokenPipe);
    assert_eq!(ready(rig.hop.poll_receive(cx)), &b"last"[..]);
    assert_eq!(kind(rig.hop.poll_receive(cx)), ErrorKind::ConnectionReset);
}

/// The machine has done with it cleanly: the server reads what was sent, then the end, and writes no more.
#[test]
fn the_machines_fin() {
    let mut rig = Rig::new();
    let (mut batch, bytes) = words();
    assert!(rig.send(&mut batch).is_pending());
    ready(rig.write(&noise(CAPACITY)));
    assert!(rig.write(b"more").is_pending());
    rig.hop.close(ConnectionEnd::Clean);
    assert!(rig.writer.was_woken());
    drop(rig.hop);
    let reader = rig.reader.cx();
    let mut read = Vec::new();
    assert_eq!(ready(rig.link.poll_read(&reader, 1_000, |b| read.extend_from_slice(b))), bytes.len());
    assert_eq!(read, bytes);
    for _ in 0..2 {
        assert_eq!(ready(rig.link.poll_read(&reader, 8, |_| ())), 0);
    }
    let write = rig.link.poll_write(&rig.writer.cx(), [&b"more"[..]].into_iter());
    assert_eq!(kind(write), ErrorKind::BrokenPipe);
}

/// It is cut, or the driver is dropped with its runtime: the server hears of it at once, whatever is in between.
#[test]
fn the_machines_reset() {
    for how in [Some(ConnectionEnd::Cut), None] {
        let mut rig = Rig::new();
        ready(rig.write(&noise(CAPACITY)));
        assert!(rig.write(b"more").is_pending());
        assert!(rig.read(8).is_pending());
        if let Some(how) = how {
            rig.hop.close(how);
        }
        drop(rig.hop);
        assert!(rig.reader.was_woken() && rig.writer.was_woken());
        let read = rig.link.poll_read(&rig.reader.cx(), 8, |_| ());
        assert_eq!(kind(read), ErrorKind::ConnectionReset);
        let write = rig.link.poll_write(&rig.writer.cx(), [&b"more"[..]].into_iter());
        assert_eq!(kind(write), ErrorKind::ConnectionReset);
    }
}

/// A server that keeps its end long after the client has gone keeps nobody else's memory alive.
#[test]
fn a_link_that_is_over_holds_nothing() {
    let mut rig = Rig::new();
    let (mut batch, _) = words();
    assert!(rig.send(&mut batch).is_pending());
    assert!(rig.receive().is_pending());
    ready(rig.write(&noise(1_000)));
    let driver = rig.driver.bell.clone();
    rig.hop.close(ConnectionEnd::Cut);
    drop((rig.hop, rig.driver));
    assert_eq!(std::sync::Arc::strong_count(&driver), 1, "nor its waker");
    assert!(rig.link.is_empty());
}

/// What was sent and not read is not read after a reset.
#[test]
fn a_reset_overtakes_what_was_sent() {
    let mut rig = Rig::new();
    let (mut batch, _) = words();
    assert!(rig.send(&mut batch).is_pending());
    drop(rig.hop);
    let read = rig.link.poll_read(&rig.reader.cx(), 8, |_| ());
    assert_eq!(kind(read), ErrorKind::ConnectionReset);
}

/// The server stops reading: a read that waits ends.
#[test]
#[cfg(feature = "std")]
fn a_read_that_waits_ends_with_its_side() {
    let rig = Rig::new();
    assert!(rig.read(8).is_pending());
    rig.link.close_read();
    assert!(rig.reader.was_woken());
    assert_eq!(ready(rig.read(8)), b"");
}
