use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Buf, Bytes};
use oneport_core::split::{Batch, ConnectFailure, ConnectionEnd, SplitConfig, SplitOutcome};
use oneport_core::{Config, Reason};

use super::super::link::{link, Link, LinkHop};
use super::super::{Driver, Hop, Passage};
use super::Task;
use crate::address::Addresses;
use crate::backlog::{backlog, Receiver};
use crate::context::{ConnectionInfo, Plan, Shared};
use crate::limits::Limits;
use crate::parcel::{Share, Source};

const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const GOAWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// GET http://a/ on this stream.
fn request(stream: u8) -> Vec<u8> {
    [b"\0\0\x06\x01\x05\0\0\0", &[stream][..], b"\x82\x86\x84\x41\x01a"].concat()
}

/// A head that is the whole response: `:status` is an index of the static table (RFC 7541, appendix A).
fn response(stream: u8, status: u8) -> Vec<u8> {
    [b"\0\0\x01\x01\x05\0\0\0", &[stream, status][..]].concat()
}

const OK: u8 = 0x88;

/// 502 is none, and comes as a literal with incremental indexing and Huffman coding; 403 without.
const BAD_GATEWAY: &[u8] = b"\x48\x82\x6c\x02";
const FORBIDDEN: &[u8] = b"\x48\x03403";

/// HEADERS, END_HEADERS and END_STREAM, of this stream: a request whose fields are in the table by now.
fn head_of(stream: u8) -> [u8; 6] {
    [1, 5, 0, 0, 0, stream]
}

struct Rig {
    shared: Arc<Shared>,
    driver: Driver<LinkHop, Share>,
    client: Link,
    incoming: Receiver<Share>,
    task: Task,
    now: Instant,
}

impl Rig {
    /// One route for all, with a place for one arrival.
    fn new(opening: &[u8]) -> Self {
        let mut plan = Plan::new(Config::default(), Limits::default());
        plan.otherwise("all".into());
        plan.per_request(SplitConfig::default());
        let shared = plan.finish();
        let (sender, incoming) = backlog(1);
        let (client, hop) = link();
        let now = Instant::now();
        let passage = Passage {
            shared: shared.clone(),
            info: ConnectionInfo { addresses: Addresses::UNKNOWN, route: None, greeted: false },
            ticket: shared.registry.enter(now),
            opening: opening.to_vec().into(),
        };
        let driver = Driver::new(hop, Arc::new(vec![sender]), |share| share, passage, now);
        Self { shared, driver, client, incoming, task: Task::new(), now }
    }

    /// The driver goes on as far as it can; the outcome, if that was the end.
    fn run(&mut self) -> Option<SplitOutcome> {
        loop {
            match self.driver.poll(&mut self.task.cx(), self.now) {
                Poll::Ready(outcome) => return Some(outcome),
                // It has told others to have their turn.
                Poll::Pending if self.task.was_woken() => {}
                Poll::Pending => return None,
            }
        }
    }

    /// Something happens that the driver has to hear of: it is woken, and goes on.
    #[track_caller]
    fn hears(&mut self, happens: impl FnOnce(&mut Self)) -> Option<SplitOutcome> {
        assert_eq!(self.run(), None);
        happens(self);
        assert!(self.task.was_woken(), "the driver sleeps on");
        self.run()
    }

    /// All that is said to the client, who reads as fast as it comes.
    fn client_hears(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        loop {
            self.run();
            let before = said.len();
            said.extend(heard(&self.client));
            if said.len() == before {
                return said;
            }
        }
    }

    fn arrival(&mut self) -> Share {
        match self.incoming.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(share)) => share,
            other => panic!("no arrival: {other:?}"),
        }
    }
}

fn open(share: Share) -> Link {
    match share.open::<()>().io {
        Source::Share(link) => link,
        Source::Whole(()) => unreachable!("it is a share"),
    }
}

fn say(link: &Link, bytes: &[u8]) {
    let written = link.poll_write(&Context::from_waker(Waker::noop()), [bytes].into_iter());
    assert!(matches!(written, Poll::Ready(Ok(count)) if count == bytes.len()), "{written:?}");
}

/// All that is there to be read.
fn heard(link: &Link) -> Vec<u8> {
    let mut bytes = Vec::new();
    let cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok(1..)) = link.poll_read(&cx, 1_000, |slice| bytes.extend_from_slice(slice)) {}
    bytes
}

#[track_caller]
fn assert_contains(bytes: &[u8], part: &[u8]) {
    assert!(bytes.windows(part.len()).any(|window| window == part), "{part:?} is not in {bytes:?}");
}

/// A request from end to end: whatever the driver waits for, it hears of it.
#[test]
fn nothing_happens_unheard() {
    let mut rig = Rig::new(OPENING);
    assert_eq!(rig.hears(|rig| say(&rig.client, &request(1))), None);
    let mut arrival = None;
    assert_eq!(rig.run(), None);
    arrival.replace(rig.arrival());
    let mut server = None;
    assert_eq!(rig.hears(|_| server = arrival.take().map(open)), None);
    let server = server.expect("taken");
    assert!(heard(&server).starts_with(&OPENING[..24]));
    assert_eq!(rig.hears(|_| say(&server, SETTINGS)), None);
    let asked = heard(&server);
    assert_contains(&asked, &request(1));
    // The batch is read and goes back: the next one can come.
    assert!(rig.task.was_woken());
    assert_eq!(rig.run(), None);
    heard(&rig.client);
    assert_eq!(rig.hears(|_| say(&server, &response(1, OK))), None);
    assert_contains(&heard(&rig.client), &response(1, OK));
    assert!(rig.task.was_woken(), "what was written to the client");
    assert_eq!(rig.hears(|rig| say(&rig.client, &request(3))), None);
    assert_contains(&heard(&server), &head_of(3));
    assert!(rig.task.was_woken());

    // The listener shuts down: the request in progress is finished first.
    assert_eq!(rig.hears(|rig| rig.shared.registry.shut_down()), None);
    assert_contains(&heard(&rig.client), &[0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(rig.run(), None);
    assert_eq!(rig.hears(|_| say(&server, &response(3, OK))), None);
    assert_contains(&heard(&rig.client), &response(3, OK));
    // It waits for the client to have seen that it ends, with a deadline.
    assert_eq!(rig.run(), None);
    rig.now = rig.driver.deadline().expect("a grace");
    rig.driver.handle_timeout(rig.now);
    let second_goaway = [&GOAWAY[..9], &[0, 0, 0, 3], &[0; 4]].concat();
    let mut outcome = rig.run();
    let mut said = Vec::new();
    while outcome.is_none() {
        said.extend(heard(&rig.client));
        assert!(rig.task.was_woken(), "the client has read it");
        outcome = rig.run();
    }
    assert_contains(&said, &second_goaway);
    assert_eq!(outcome, Some(SplitOutcome::Drained));
    assert_eq!(heard(&server), b"");
    let read = server.poll_read(&Context::from_waker(Waker::noop()), 8, |_| ());
    assert!(matches!(read, Poll::Ready(Ok(0))), "its connection ended cleanly: {read:?}");
    assert!(rig.driver.into_client().1, "the client is given time to read that");
}

/// A connection that is dropped with its executor has an end all the same, and no connection has two.
#[test]
fn the_end_is_told_once() {
    let mut rig = Rig::new(&[OPENING, &request(1)].concat());
    rig.run();
    drop(rig.driver);
    let splits = rig.shared.stats.counters().splits;
    let counted: Vec<_> =
        splits.iter().map(|(key, tally)| (key.outcome, tally.count, tally.requests)).collect();
    assert_eq!(counted, [("dropped", 1, 1)]);

    let mut rig = Rig::new(OPENING);
    assert_eq!(rig.hears(|rig| rig.client.close()), Some(SplitOutcome::Left));
    drop(rig.driver);
    let splits = rig.shared.stats.counters().splits;
    let counted: Vec<_> = splits.iter().map(|(key, tally)| (key.outcome, tally.count)).collect();
    assert_eq!(counted, [("left", 1)]);
}

/// A place in the backlog becomes free.
#[test]
fn a_free_place_is_heard_of() {
    let mut first = Rig::new(OPENING);
    say(&first.client, &request(1));
    let mut second = Rig::new(OPENING);
    // Both clients' requests go to the one route.
    second.driver = {
        let passage = Passage {
            shared: first.shared.clone(),
            info: ConnectionInfo { addresses: Addresses::UNKNOWN, route: None, greeted: false },
            ticket: first.shared.registry.enter(first.now),
            opening: OPENING.to_vec().into(),
        };
        let (client, hop) = link();
        second.client = client;
        Driver::new(hop, first.driver.slots(), |share| share, passage, first.now)
    };
    say(&second.client, &request(1));
    assert_eq!((first.run(), second.run()), (None, None));
    let taken = first.arrival();
    assert!(second.task.was_woken());
    assert_eq!(second.run(), None);
    let _second_taken = first.arrival();
    taken.refuse(Reason::BackendDown);
    assert!(first.task.was_woken());
    assert_contains(&first.client_hears(), BAD_GATEWAY);
}

/// How a server elsewhere takes what is written to it.
#[derive(Clone, Copy, Debug, Default)]
enum Takes {
    #[default]
    All,
    NothingNow,
    NothingEver,
}

/// A connection to a server elsewhere, told what to do by the test.
#[derive(Clone, Debug, Default)]
struct Elsewhere(Arc<Mutex<(Takes, VecDeque<Bytes>)>>);

impl Elsewhere {
    fn takes(&self, takes: Takes) {
        self.0.lock().unwrap().0 = takes;
    }

    fn says(&self, bytes: Vec<u8>) {
        self.0.lock().unwrap().1.push_back(bytes.into());
    }
}

impl Hop for Elsewhere {
    fn poll_send(&mut self, _: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<()>> {
        match self.0.lock().unwrap().0 {
            Takes::All => {
                batch.advance(batch.len());
                Poll::Ready(Ok(()))
            }
            Takes::NothingNow => Poll::Pending,
            Takes::NothingEver => Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        self.0.lock().unwrap().1.pop_front().map_or(Poll::Pending, |bytes| Poll::Ready(Ok(bytes)))
    }

    fn close(&mut self, _: ConnectionEnd) {}
}

/// A server answers a request and closes its connection without having read everything. What it said counts, although what was
/// still to be told to it can not be: only what it left open fails.
#[test]
fn a_last_answer_is_heard_from_who_takes_nothing_more() {
    let mut rig = Rig::new(&[OPENING, &request(1)].concat());
    rig.run();
    let server = Elsewhere::default();
    server.says(SETTINGS.to_vec());
    rig.arrival().asked.take(Box::new(server.clone()));
    rig.client_hears();
    server.takes(Takes::NothingNow);
    say(&rig.client, &request(3));
    rig.client_hears();
    server.takes(Takes::NothingEver);
    server.says(response(1, OK));
    let said = rig.client_hears();
    assert_contains(&said, &response(1, OK));
    assert_contains(&said, BAD_GATEWAY);
}

/// A client that has said that it leaves reads to the end of its connection; one that has left is not waited for.
#[test]
fn who_leaves_in_words_is_given_time_to_read() {
    let mut rig = Rig::new(OPENING);
    rig.run();
    heard(&rig.client);
    assert_eq!(rig.hears(|rig| say(&rig.client, GOAWAY)), Some(SplitOutcome::Left));
    assert!(rig.driver.into_client().1);

    let mut rig = Rig::new(OPENING);
    rig.run();
    heard(&rig.client);
    assert_eq!(rig.hears(|rig| rig.client.close()), Some(SplitOutcome::Left));
    assert!(!rig.driver.into_client().1);
}

/// The driver is dropped with its runtime: servers hear a reset, and an arrival that waits is nothing any more.
#[test]
fn with_the_driver_everything_ends() {
    let mut rig = Rig::new(&[OPENING, &request(1)].concat());
    rig.run();
    let waiting = rig.arrival();
    let Rig { driver, .. } = rig;
    drop(driver);
    assert!(waiting.asked.is_withdrawn());
    let late = open(waiting);
    let read = late.poll_read(&Context::from_waker(Waker::noop()), 8, |_| ());
    assert!(matches!(read, Poll::Ready(Err(ref error)) if error.kind() == ErrorKind::ConnectionReset));
}

/// Who is forbidden once is not asked again; who is down is.
#[test]
fn a_closed_route_is_not_asked_again() {
    let mut rig = Rig::new(&[OPENING, &request(1)].concat());
    rig.run();
    rig.arrival().asked.refuse(ConnectFailure::Down);
    rig.run();
    say(&rig.client, &request(3));
    rig.run();
    rig.arrival().asked.refuse(ConnectFailure::Forbidden);
    rig.run();
    say(&rig.client, &request(5));
    rig.run();
    assert!(rig.incoming.poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
    let said = rig.client_hears();
    assert_contains(&said, BAD_GATEWAY);
    assert_contains(&said, FORBIDDEN);
}

/// A server that has closed its idle share gets no request that comes later, even if the driver hears of both at once.
#[test]
fn no_request_goes_to_who_has_gone_before() {
    for with_fin in [true, false] {
        let mut rig = Rig::new(&[OPENING, &request(1)].concat());
        rig.run();
        let server = open(rig.arrival());
        rig.run();
        heard(&server);
        say(&server, SETTINGS);
        rig.run();
        heard(&server);
        say(&server, &response(1, OK));
        rig.client_hears();
        heard(&server);
        rig.client_hears();
        // And in front of the end there may be words of no importance.
        say(&server, b"\0\0\x08\x06\0\0\0\0\0goodbye!");
        if with_fin {
            server.close();
        }
        drop(server);
        say(&rig.client, &request(3));
        rig.run();
        let server = open(rig.arrival());
        rig.run();
        heard(&server);
        say(&server, SETTINGS);
        rig.run();
        assert_contains(&heard(&server), &head_of(3));
    }
}
