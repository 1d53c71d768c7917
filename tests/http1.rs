//! HTTP/1 heads: the laws of an incremental parser, and httparse as the second opinion.

use crate::feed::{answers, cuts, ends, ends_of, mutations, settled_at};
use crate::flights::{flight, Speaks, FLIGHTS};
use oneport_core::wire::http1::{authority_of, connect_parts, host_of, path_of, HeadScanner, MAX_METHOD};
use oneport_core::wire::progress::Progress;
use proptest::prelude::*;
use proptest::sample::select;

const LIMIT: usize = 65_536;

/// What a scanner says of an opening: the line (method, target, minor version), then the fields.
type Said = (Option<(Vec<u8>, Vec<u8>, u8)>, Vec<(Vec<u8>, Vec<u8>)>);

fn said(scanner: &HeadScanner, opening: &[u8]) -> Said {
    let line = scanner
        .request_line()
        .map(|line| (line.method(opening).into(), line.target(opening).into(), line.minor_version()));
    (line, scanner.fields(opening).map(|(name, value)| (name.into(), value.into())).collect())
}

fn whole(limit: usize, opening: &[u8]) -> Progress {
    HeadScanner::new(limit).scan(opening)
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("\r\n"), 1 => Just("\n")]
}

fn field() -> impl Strategy<Value = String> {
    let space = "[ \t]{0,2}";
    ("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", space, "([!-~]([!-~ \t]{0,20}[!-~])?)?", space, line_end())
        .prop_map(|(name, before, value, after, end)| format!("{name}:{before}{value}{after}{end}"))
}

/// A well-formed head.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let empty_line = prop_oneof![4 => Just(""), 1 => Just("\r\n"), 1 => Just("\n")];
    let method = prop_oneof!["GET|POST|CONNECT|M-SEARCH", "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}"];
    let target =
        prop_oneof!["/[!-~]{0,20}", "\\*", "http://[a-z.:0-9@]{1,12}(/[!-~]{0,8})?", "[!-~\u{e4}]{1,9}"];
    let version = select(vec!["HTTP/1.0", "HTTP/1.1", "HTTP/1.1", "HTTP/1.2", "HTTP/1.9"]);
    let fields = proptest::collection::vec(field(), 0..5);
    (empty_line, method, target, version, line_end(), fields, line_end()).prop_map(
        |(empty_line, method, target, version, end, fields, last)| {
            format!("{empty_line}{method} {target} {version}{end}{}{last}", fields.concat()).into_bytes()
        },
    )
}

/// The bytes that mean something to the grammar, and some that do not.
fn interesting() -> BoxedStrategy<u8> {
    prop_oneof![select(b"\r\n\r\n\t :/.10HTP2aG\0\x0b\x7f\x80\xff".to_vec()), any::<u8>()].boxed()
}

/// Heads, spoilt heads, heads with something behind, and the beginnings of all these.
fn opening() -> impl Strategy<Value = Vec<u8>> {
    let behind = proptest::collection::vec(interesting(), 0..12);
    (head(), mutations(3, interesting()), behind, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(mut bytes, mutations, behind, end, is_cut)| {
            mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
            bytes.extend(behind);
            if is_cut {
                bytes.truncate(end.index(bytes.len() + 1));
            }
            bytes
        },
    )
}

/// The opening, with a target that is no UTF-8 made one of the same length, and a minor version that does not exist made one that does.
fn as_httparse_takes_it(opening: &[u8]) -> Vec<u8> {
    let mut words: Vec<Vec<u8>> = opening.split(|&byte| byte == b' ').map(<[u8]>::to_vec).collect();
    if let Some(target) = words.get_mut(1).filter(|target| std::str::from_utf8(target).is_err()) {
        target.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'x');
    }
    if let Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9', ..]) =
        words.get_mut(2).map(Vec::as_mut_slice)
    {
        *minor = b'1';
    }
    words.join(&b' ')
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn well_formed_heads_are_done_at_their_last_byte(head in head()) {
        let answers = answers(&head, |bytes| whole(LIMIT, bytes));
        prop_assert_eq!(settled_at(&answers), Some(head.len()));
        prop_assert_eq!(answers[head.len()], Progress::Done);
    }

    #[test]
    fn segmentation_does_not_matter(opening in opening(), cuts in cuts(), limit in prop_oneof![1_usize..120, Just(LIMIT)]) {
        let answers = answers(&opening, |bytes| whole(limit, bytes));
        settled_at(&answers);
        let every_byte: Vec<usize> = (0..=opening.len()).collect();
        for ends in [every_byte, ends(&cuts, opening.len())] {
            let mut scanner = HeadScanner::new(limit);
            for end in ends {
                let so_far = &opening[..end];
                prop_assert_eq!(scanner.scan(so_far), answers[end], "after {} bytes", end);
                let mut fresh = HeadScanner::new(limit);
                prop_assert_eq!(fresh.scan(so_far), answers[end]);
                prop_assert_eq!(fresh.line_progress(), scanner.line_progress());
                prop_assert_eq!(fresh.head_len(), scanner.head_len());
                prop_assert_eq!(said(&fresh, so_far), said(&scanner, so_far));
            }
        }
    }

    #[test]
    fn the_request_line_is_known_from_its_line_end_on(opening in opening()) {
        let mut scanner = HeadScanner::new(LIMIT);
        let mut known = None;
        let lines: Vec<Progress> = (0..=opening.len()).map(|end| {
            let progress = scanner.scan(&opening[..end]);
            let line = scanner.line_progress();
            assert_eq!(line == Progress::Done, scanner.request_line().is_some());
            assert!(progress != Progress::Done || line == Progress::Done, "a head without its line");
            if let Some(known) = known {
                assert_eq!(scanner.request_line(), Some(known), "the line has changed");
            } else if scanner.request_line().is_some() {
                assert_eq!(opening[end - 1], b'\n');
                known = scanner.request_line();
            }
            line
        }).collect();
        settled_at(&lines);
    }

    #[test]
    fn bytes_behind_do_not_matter(opening in opening(), behind in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut scanner = HeadScanner::new(LIMIT);
        if let Some(settled) = settled_at(&answers(&opening, |bytes| whole(LIMIT, bytes))) {
            let other = [&opening[..settled], &behind].concat();
            prop_assert_eq!(scanner.scan(&other), whole(LIMIT, &opening));
            prop_assert_eq!(scanner.head_len(), settled);
            let mut first = HeadScanner::new(settled);
            prop_assert_eq!(first.scan(&opening), scanner.scan(&other), "the limit is the head's own length");
            prop_assert_eq!(said(&first, &opening), said(&scanner, &other));
        }
    }

    /// "Need more" is only said where more can help: so "invalid" comes at the first byte that settles it.
    #[test]
    fn what_needs_more_can_be_completed(opening in opening()) {
        for end in 0..=opening.len() {
            let mut bytes = opening[..end].to_vec();
            let mut steps = 0;
            while whole(LIMIT, &bytes) == Progress::NeedMore {
                let next = b"\n :/HTP1.".iter().find(|&&byte| {
                    whole(LIMIT, &[&bytes[..], &[byte]].concat()) != Progress::Invalid
                });
                bytes.push(*next.expect("a byte that goes on"));
                steps += 1;
                prop_assert!(steps < 20, "no end in sight: {:?}", bytes);
            }
            prop_assert_ne!(whole(LIMIT, &bytes), Progress::TooLong);
        }
    }

    /// Differences from httparse, each on purpose:
    /// - it passes over any number of empty lines before the request, we over one;
    /// - it has no bound on methods, we have [`MAX_METHOD`];
    /// - it wants bytes from 0x80 in a target to be UTF-8, since it hands out a `str`; we take any;
    /// - it knows HTTP/1.0 and HTTP/1.1; we take any minor version of one digit, as other servers do.
    #[test]
    fn httparse_agrees(opening in opening()) {
        let ours = whole(LIMIT, &opening);
        let request = opening.strip_prefix(b"\r\n").or_else(|| opening.strip_prefix(b"\n")).unwrap_or(&opening);
        let has_two_empty_lines = request.len() < opening.len() && matches!(request, [b'\r' | b'\n', ..]);
        let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if has_two_empty_lines || request.iter().take_while(is_token).count() > MAX_METHOD {
            prop_assert_eq!(ours, Progress::Invalid);
            return Ok(());
        }
        let opening = as_httparse_takes_it(&opening);
        let mut scanner = HeadScanner::new(LIMIT);
        prop_assert_eq!(scanner.scan(&opening), ours, "a target's bytes from 0x80 are all alike, and so are minor versions");
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut theirs = httparse::Request::new(&mut headers);
        match theirs.parse(&opening) {
            Err(error) => prop_assert_eq!(ours, Progress::Invalid, "{}", error),
            Ok(httparse::Status::Partial) => prop_assert_eq!(ours, Progress::NeedMore),
            Ok(httparse::Status::Complete(length)) => {
                prop_assert_eq!(ours, Progress::Done);
                prop_assert_eq!(scanner.head_len(), length);
                let line = (
                    theirs.method.expect("complete").into(),
                    theirs.path.expect("complete").into(),
                    theirs.version.expect("complete"),
                );
                let fields = theirs.headers.iter().map(|field| (field.name.into(), field.value.into())).collect();
                prop_assert_eq!(said(&scanner, &opening), (Some(line), fields));
            }
        }
    }

    #[test]
    fn targets_and_authorities_never_panic(bytes in "[a:/?#@\\[\\].0*\u{e4}]{0,12}") {
        let bytes = bytes.as_bytes();
        let part_of = |part: &[u8]| part == b"/" || bytes.windows(part.len().max(1)).any(|window| window == part);
        prop_assert!(path_of(bytes).is_none_or(|path| path.starts_with(b"/") && part_of(path)));
        prop_assert!(authority_of(bytes).is_none_or(part_of));
        let (authority, path) = connect_parts(bytes);
        prop_assert!(authority.is_none_or(|authority| bytes.starts_with(authority)));
        prop_assert!(path.is_none_or(|path| path.starts_with(b"/") && part_of(path)));
        prop_assert!(path.is_none() || path_of(bytes) == path || authority.is_some());
        let host = host_of(bytes);
        prop_assert!(host.is_empty() || part_of(host));
        prop_assert!(!host.contains(&b'@'));
    }
}

/// The scanner never reads a byte twice: what it has seen may be overwritten. So 64 KiB byte by byte cost
/// 65,536 steps, not 2,147,516,416.
#[test]
fn what_was_scanned_is_not_read_again() {
    let mut opening = b"GET / HTTP/1.1\r\n".to_vec();
    while opening.len() < LIMIT - 100 {
        opening.extend(b"Name: a value of some length\r\n");
    }
    opening.extend(b"\r\n");
    let mut scanner = HeadScanner::new(LIMIT);
    let mut seen = vec![0; opening.len()];
    for at in 0..opening.len() {
        seen[at] = opening[at];
        let is_last = at + 1 == opening.len();
        assert_eq!(scanner.scan(&seen[..=at]).is_settled(), is_last, "byte {at}");
        assert_eq!(scanner.head_len(), at + 1, "one step for one byte");
        seen[at] = 0;
    }
    assert_eq!(scanner.scan(&opening), Progress::Done);
    assert_eq!(scanner.fields(&opening).count(), (opening.len() - 18) / 30);
}

#[test]
fn recorded_requests() {
    for flight in FLIGHTS.iter().filter(|flight| flight.speaks == Speaks::Http1) {
        let every_byte: Vec<usize> = (1..=flight.bytes.len()).collect();
        for ends in [every_byte, ends_of(flight.segments)] {
            let mut scanner = HeadScanner::new(LIMIT);
            for end in ends {
                let expected = if end < flight.bytes.len() { Progress::NeedMore } else { Progress::Done };
                assert_eq!(scanner.scan(&flight.bytes[..end]), expected, "{} at {end}", flight.name);
            }
            let line = scanner.request_line().expect("done");
            assert_eq!(line.method(flight.bytes), b"GET");
            assert_eq!(path_of(line.target(flight.bytes)), Some(&b"/x"[..]));
            assert_eq!(line.minor_version(), 1);
            let (name, host) = scanner.fields(flight.bytes).next().expect("curl's first field");
            assert_eq!((name, host_of(host)), (&b"Host"[..], &b"127.0.0.1"[..]));
        }
    }
    let upgrade = flight("curl-h2c-upgrade").bytes;
    let mut scanner = HeadScanner::new(LIMIT);
    assert_eq!(scanner.scan(upgrade), Progress::Done);
    let names: Vec<&[u8]> = scanner.fields(upgrade).map(|(name, _)| name).collect();
    let expected = ["Host", "User-Agent", "Accept", "Connection", "Upgrade", "HTTP2-Settings"];
    assert_eq!(names, expected.map(str::as_bytes));
}

#[test]
fn recordings_of_other_protocols_are_no_requests() {
    for flight in FLIGHTS {
        let settled = match flight.speaks {
            Speaks::Http1 => continue,
            // "PRI * HTTP/2": the 2 gives it away.
            Speaks::Http2 => 12,
            // "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u5\r": so far it could be method and target.
            Speaks::Ssh => flight.bytes.len() - 1,
            Speaks::Tls => 1,
        };
        let answers = answers(flight.bytes, |bytes| whole(LIMIT, bytes));
        assert_eq!(settled_at(&answers), Some(settled), "{}", flight.name);
        assert_eq!(answers[settled], Progress::Invalid, "{}", flight.name);
    }
}

/// What is whole is read at once and what is not byte by byte: no way round may take what the other one refuses.
#[test]
fn a_field_line_is_the_same_in_each_cut() {
    for (line, is_good) in [
        ("a: b\r\n", true),
        ("a:\r\n", true),
        (": b\r\n", false),
        (":\r\n", false),
        ("a : b\r\n", false),
        ("a\r\n", false),
        ("a: b\0\r\n", false),
        ("a: b\r", false),
    ] {
        let head = format!("GET / HTTP/1.1\r\n{line}\r\n");
        let expected = if is_good { Progress::Done } else { Progress::Invalid };
        assert_eq!(whole(LIMIT, head.as_bytes()), expected, "{line:?}");
        let mut bytewise = HeadScanner::new(LIMIT);
        let ends = (1..=head.len()).map(|end| bytewise.scan(&head.as_bytes()[..end]));
        assert_eq!(ends.last(), Some(expected), "{line:?}, byte by byte");
    }
}
