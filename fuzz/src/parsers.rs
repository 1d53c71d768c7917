//! HTTP/1 heads and ClientHellos: an answer is a function of the bytes, given once.

use crate::script::{choices, cuts};
use oneport_core::wire::http1::{authority_of, connect_parts, host_of, path_of, HeadScanner};
use oneport_core::wire::progress::Progress;
use oneport_core::wire::tls::{ClientHello, HelloReader};

/// Limits that an input may choose from: those of the defaults, and some that short inputs can reach.
const LIMITS: [usize; 4] = [65_536, 0, 48, 300];

/// A scanner of HTTP/1 heads over an opening that comes in any cut: one answer, equal for every cut, and never taken back.
pub fn http1(data: &[u8]) {
    let ([limit, seed], opening) = choices(data);
    let limit = LIMITS[usize::from(limit) % LIMITS.len()];
    let mut whole = HeadScanner::new(limit);
    let answer = whole.scan(opening);
    for cut in cuts(opening, seed) {
        let mut scanner = HeadScanner::new(limit);
        let mut settled = Settled::default();
        let mut line = None;
        let mut end = 0;
        for piece in cut {
            end += piece.len();
            settled.check(scanner.scan(&opening[..end]));
            assert!(line.is_none() || line == scanner.request_line(), "the request line has changed");
            line = scanner.request_line();
        }
        assert_eq!(scanner.scan(opening), answer, "the cut has changed the answer");
        assert_eq!(scanner.head_len(), whole.head_len());
        assert_eq!(scanner.line_progress(), whole.line_progress());
        assert_eq!(scanner.request_line(), whole.request_line());
    }
    assert!(whole.head_len() <= limit.min(opening.len()), "looked behind the limit");
    assert!(answer.is_settled() || opening.len() < limit, "waits for what the limit does not allow");
    if let Some(line) = whole.request_line() {
        let target = line.target(opening);
        assert!(!line.method(opening).is_empty() && !target.is_empty());
        let _ = path_of(target);
        let _ = authority_of(target).map(host_of);
        let _ = connect_parts(target).0.map(host_of);
    }
    let head = &opening[..whole.head_len()];
    assert!(answer != Progress::Done || head.ends_with(b"\n"), "a head ends with its empty line");
    for (name, value) in whole.fields(opening) {
        assert!(!name.is_empty() && !value.contains(&b'\n'));
        assert!(head.as_ptr_range().contains(&name.as_ptr()), "a field from behind the head");
    }
}

/// A reader of ClientHellos over an opening that comes in any cut: the same.
pub fn client_hello(data: &[u8]) {
    let ([limit, seed], opening) = choices(data);
    let limit = LIMITS[usize::from(limit) % LIMITS.len()];
    let mut whole = HelloReader::new(limit);
    let answer = whole.scan(opening);
    for cut in cuts(opening, seed) {
        let mut reader = HelloReader::new(limit);
        let mut settled = Settled::default();
        let mut end = 0;
        for piece in cut {
            end += piece.len();
            settled.check(reader.scan(&opening[..end]));
        }
        assert_eq!(reader.scan(opening), answer, "the cut has changed the answer");
        assert_eq!(reader.consumed(), whole.consumed());
        assert_eq!(reader.hello(opening).map(said), whole.hello(opening).map(said));
    }
    assert!(whole.consumed() <= opening.len());
    // Without a byte there is nothing that a limit could be passed by, be it 0.
    let may_wait = opening.len() < limit || opening.is_empty();
    assert!(answer.is_settled() || may_wait, "waits for what the limit does not allow");
    assert!(whole.held() <= 2 * limit, "more is held than the limit allows");
    assert_eq!(answer == Progress::Done, whole.hello(opening).is_some());
    if answer == Progress::Done {
        assert!(whole.consumed() <= limit);
    }
}

/// What a hello says: server name, protocols, versions, legacy and highest version.
type Said = (Option<String>, Vec<Vec<u8>>, Vec<u16>, u16, u16);

fn said(hello: ClientHello<'_>) -> Said {
    let owned = hello.into_owned();
    let owned = owned.as_hello();
    let [borrowed, owned] = [&hello, &owned].map(|hello| {
        (
            hello.sni().map(str::to_owned),
            hello.alpn().map(<[u8]>::to_vec).collect(),
            hello.supported_versions().collect(),
            hello.legacy_version(),
            hello.max_version(),
        )
    });
    assert_eq!(borrowed, owned, "the owned form says something else");
    borrowed
}

/// Sees to it that an answer, once given, stays.
#[derive(Default)]
struct Settled(Option<Progress>);

impl Settled {
    fn check(&mut self, answer: Progress) {
        match self.0 {
            Some(settled) => assert_eq!(answer, settled, "an answer was taken back"),
            None if answer.is_settled() => self.0 = Some(answer),
            None => {}
        }
    }
}
