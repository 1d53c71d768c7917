//! ClientHellos: the laws of an incremental parser, and rustls as the second opinion.

use crate::feed::{cuts, ends, ends_of, mutations, settled_at, Mutation};
use crate::flights::{flight, Speaks, FLIGHTS};
use oneport_core::wire::progress::Progress;
use oneport_core::wire::tls::{ClientHello, HelloReader};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use rustls::server::Acceptor;

const LIMIT: usize = 65_536;

fn whole(limit: usize, opening: &[u8]) -> Progress {
    HelloReader::new(limit).scan(opening)
}

/// What a hello says: server name, protocols, versions, legacy and highest version.
type Said = (Option<String>, Vec<Vec<u8>>, Vec<u16>, u16, u16);

fn said(hello: ClientHello<'_>) -> Said {
    let owned = hello.into_owned();
    let said = (
        hello.sni().map(str::to_owned),
        hello.alpn().map(<[u8]>::to_vec).collect(),
        hello.supported_versions().collect(),
        hello.legacy_version(),
        hello.max_version(),
    );
    let kept = (
        owned.sni().map(str::to_owned),
        owned.alpn().map(<[u8]>::to_vec).collect(),
        owned.supported_versions().collect(),
        owned.legacy_version(),
        owned.max_version(),
    );
    assert_eq!(said, kept, "the owned form says the same");
    said
}

/// A hello to build; every list is taken as it is.
#[derive(Clone, Debug)]
struct Hello {
    legacy_version: u16,
    session_id: Vec<u8>,
    ciphers: Vec<u16>,
    name: Option<String>,
    protocols: Vec<Vec<u8>>,
    versions: Vec<u16>,
    /// Extensions that no one knows, by number.
    others: Vec<(u16, Vec<u8>)>,
    /// Where server_name, ALPN and supported_versions stand among the others.
    places: [Index; 3],
}

fn with_length_8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).expect("short")], bytes].concat()
}

fn with_length_16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat()
}

impl Hello {
    fn extensions(&self) -> Vec<(u16, Vec<u8>)> {
        let mut extensions = self.others.clone();
        // signature_algorithms, without which rustls does not go on.
        extensions.push((13, vec![0, 2, 4, 3]));
        let mut put = |place: &Index, number: u16, body: Vec<u8>| {
            extensions.insert(place.index(extensions.len() + 1), (number, body));
        };
        if let Some(name) = &self.name {
            let entry = [&[0], &with_length_16(name.as_bytes())[..]].concat();
            put(&self.places[0], 0, with_length_16(&entry));
        }
        if !self.protocols.is_empty() {
            let list: Vec<u8> = self.protocols.iter().flat_map(|name| with_length_8(name)).collect();
            put(&self.places[1], 16, with_length_16(&list));
        }
        if !self.versions.is_empty() {
            let list: Vec<u8> = self.versions.iter().flat_map(|version| version.to_be_bytes()).collect();
            put(&self.places[2], 43, with_length_8(&list));
        }
        extensions
    }

    /// The handshake message.
    fn message(&self) -> Vec<u8> {
        let ciphers: Vec<u8> = self.ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()).collect();
        let extensions: Vec<u8> = self
            .extensions()
            .iter()
            .flat_map(|(number, body)| [&number.to_be_bytes()[..], &with_length_16(body)].concat())
            .collect();
        let body = [
            &self.legacy_version.to_be_bytes()[..],
            &[0x5a; 32],
            &with_length_8(&self.session_id),
            &with_length_16(&ciphers),
            &with_length_8(&[0]),
            &with_length_16(&extensions),
        ]
        .concat();
        let length = u32::try_from(body.len()).expect("short").to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }

    fn said(&self) -> Said {
        let highest = self.versions.iter().copied().filter(|version| version >> 8 == 3).max();
        let max_version =
            if self.versions.is_empty() { self.legacy_version.min(0x0303) } else { highest.unwrap_or(0) };
        (self.name.clone(), self.protocols.clone(), self.versions.clone(), self.legacy_version, max_version)
    }
}

/// Puts a message into records whose fragments have these lengths, again and again; each 1 to 2^14.
fn records(message: &[u8], fragments: &[usize]) -> Vec<u8> {
    let mut rest = message;
    let mut opening = Vec::new();
    for fragment in fragments.iter().cycle() {
        let (head, tail) = rest.split_at(rest.len().min(*fragment));
        opening.extend([22, 3, 1]);
        opening.extend(with_length_16(head));
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    opening
}

fn hello() -> impl Strategy<Value = Hello> {
    let version = prop_oneof![0x0301_u16..=0x0304, (0_u16..16).prop_map(|n| n * 0x1010 + 0x0a0a)];
    // Post-quantum key shares make hellos longer than a segment.
    let body =
        prop_oneof![vec(any::<u8>(), 0..20), (1_000_usize..1_500).prop_map(|length| vec![0xab; length])];
    // Numbers that rustls does not know (it would judge their contents), apart from those that are read.
    let others = proptest::collection::btree_map(0x4000_u16..0x7000, body, 0..4);
    (
        0x0301_u16..=0x0304,
        vec(any::<u8>(), 0..=32),
        vec(any::<u16>(), 1..20),
        proptest::option::of("([a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?\\.){0,3}[a-z]{1,8}"),
        vec(vec(any::<u8>(), 1..20), 0..4),
        vec(version, 0..5),
        others,
        any::<[Index; 3]>(),
    )
        .prop_map(|(legacy_version, session_id, ciphers, name, protocols, versions, others, places)| {
            Hello {
                legacy_version,
                session_id,
                ciphers,
                name,
                protocols,
                versions,
                others: others.into_iter().collect(),
                places,
            }
        })
}

fn fragments() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1_usize..8, 1_usize..600, Just(16_384)], 1..4)
}

fn byte() -> BoxedStrategy<u8> {
    prop_oneof![0_u8..4, Just(16), Just(22), Just(43), any::<u8>()].boxed()
}

/// Hellos, spoilt ones, with something behind, over any records, and the beginnings of all these.
fn opening() -> impl Strategy<Value = Vec<u8>> {
    let spoilt = (mutations(2, byte()), mutations(1, byte()));
    let behind = vec(any::<u8>(), 0..12);
    (hello(), spoilt, fragments(), behind, any::<Index>(), any::<bool>()).prop_map(
        |(hello, (inside, outside), fragments, behind, end, is_cut)| {
            let mut message = hello.message();
            for mutation in &inside {
                // Most of a hello is opaque: spoil the parts that have structure rather than a long key share.
                let (mut start, tail) = split_for(mutation, &message);
                mutation.apply(&mut start);
                message = [start, tail].concat();
            }
            let mut opening = records(&message, &fragments);
            outside.iter().for_each(|mutation| mutation.apply(&mut opening));
            opening.extend(behind);
            if is_cut {
                opening.truncate(end.index(opening.len() + 1));
            }
            opening
        },
    )
}

/// Where a mutation is to work: half of them in the fixed part and the first extensions.
fn split_for(mutation: &Mutation, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (Mutation::Insert(at, _) | Mutation::Remove(at) | Mutation::Replace(at, _)) = mutation;
    let reach = if at.index(2) == 0 { message.len().min(150) } else { message.len() };
    (message[..reach].to_vec(), message[reach..].to_vec())
}

#[derive(Debug, Eq, PartialEq)]
enum Rustls {
    Accepts { name: Option<String>, protocols: Vec<Vec<u8>> },
    Rejects(String),
    Waits,
}

/// Feeds rustls segment by segment.
fn rustls(opening: &[u8], ends: &[usize]) -> Rustls {
    let mut acceptor = Acceptor::default();
    let mut start = 0;
    for &end in ends {
        let mut segment = &opening[start..end];
        start = end;
        while !segment.is_empty() {
            acceptor.read_tls(&mut segment).expect("a slice can be read");
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    return Rustls::Accepts {
                        name: hello.server_name().map(str::to_owned),
                        protocols: hello
                            .alpn()
                            .map_or_else(Vec::new, |names| names.map(<[u8]>::to_vec).collect()),
                    };
                }
                Err((error, _)) => return Rustls::Rejects(error.to_string()),
            }
        }
    }
    Rustls::Waits
}

fn ends_inside_a_record(opening: &[u8]) -> bool {
    let mut rest = opening;
    while let [_, _, _, high, low, fragment @ ..] = rest {
        match fragment.get(usize::from(u16::from_be_bytes([*high, *low]))..) {
            Some(next) => rest = next,
            None => return true,
        }
    }
    !rest.is_empty()
}

/// The answer for each prefix of the opening, fed byte by byte.
fn answers(opening: &[u8]) -> Vec<Progress> {
    let mut reader = HelloReader::new(LIMIT);
    (0..=opening.len()).map(|end| reader.scan(&opening[..end])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn well_formed_hellos_are_read_and_rustls_agrees(
        hello in hello(), fragments in fragments(), cuts in cuts(),
    ) {
        let opening = records(&hello.message(), &fragments);
        let ends = ends(&cuts, opening.len());
        let mut reader = HelloReader::new(LIMIT);
        for &end in &ends {
            let expected = if end < opening.len() { Progress::NeedMore } else { Progress::Done };
            prop_assert_eq!(reader.scan(&opening[..end]), expected);
        }
        prop_assert_eq!(said(reader.hello(&opening).expect("done")), hello.said());
        let theirs = rustls(&opening, &ends);
        // rustls takes a name whose last label is a number for a bad address.
        let (name, protocols) = (hello.name, hello.protocols);
        prop_assert_eq!(theirs, Rustls::Accepts { name, protocols });
    }

    /// Differences from rustls, each on purpose: it refuses more. It wants null compression,
    /// signature_algorithms, a DNS name as server name, no extension twice, no handshake bytes behind the hello,
    /// and well-formed contents of every extension that it knows; a mux leaves all this to the backend. What
    /// it accepts, we accept, and say the same of it. Where it waits, we have not found a hello, unless the hello
    /// ended before its record, for whose end rustls waits.
    #[test]
    fn what_rustls_accepts_is_accepted(opening in opening(), cuts in cuts()) {
        let mut reader = HelloReader::new(LIMIT);
        let ours = reader.scan(&opening);
        match rustls(&opening, &ends(&cuts, opening.len())) {
            Rustls::Accepts { name, protocols } => {
                prop_assert_eq!(ours, Progress::Done);
                let (our_name, our_protocols, ..) = said(reader.hello(&opening).expect("done"));
                // rustls lowers the name, and passes over an address and over a list with an unknown name type.
                if name.is_some() {
                    prop_assert_eq!(our_name.map(|name| name.to_lowercase()), name);
                }
                prop_assert_eq!(our_protocols, protocols);
            }
            Rustls::Waits => prop_assert!(ours != Progress::Done || ends_inside_a_record(&opening)),
            Rustls::Rejects(_) => {}
        }
    }

    #[test]
    fn segmentation_does_not_matter(
        opening in opening(), cuts in cuts(), limit in prop_oneof![60_usize..300, Just(LIMIT)],
    ) {
        let whole_opening = whole(limit, &opening);
        let mut fresh = HelloReader::new(limit);
        prop_assert_eq!(fresh.scan(&opening), whole_opening);
        let every_byte: Vec<usize> = (0..=opening.len()).collect();
        let mut by_byte = Vec::new();
        for ends in [every_byte, ends(&cuts, opening.len())] {
            let mut reader = HelloReader::new(limit);
            for end in ends {
                let progress = reader.scan(&opening[..end]);
                if by_byte.len() <= opening.len() {
                    by_byte.push(progress);
                }
                prop_assert_eq!(progress, by_byte[end], "after {} bytes", end);
            }
            prop_assert_eq!(reader.hello(&opening).map(said), fresh.hello(&opening).map(said));
        }
        prop_assert_eq!(by_byte[opening.len()], whole_opening);
        settled_at(&by_byte);
        // Each prefix given at once, where the answer changes.
        let settled = settled_at(&by_byte).unwrap_or(opening.len());
        for end in [settled.saturating_sub(1), settled] {
            prop_assert_eq!(whole(limit, &opening[..end]), by_byte[end]);
        }
    }

    #[test]
    fn bytes_behind_do_not_matter(opening in opening(), behind in vec(any::<u8>(), 0..40)) {
        let answers = answers(&opening);
        if let Some(settled) = settled_at(&answers) {
            let other = [&opening[..settled], &behind].concat();
            let (mut first, mut second) = (HelloReader::new(LIMIT), HelloReader::new(LIMIT));
            prop_assert_eq!(first.scan(&opening), second.scan(&other));
            prop_assert_eq!(first.hello(&opening).map(said), second.hello(&other).map(said));
            if answers[settled] == Progress::Done {
                prop_assert_eq!(whole(settled, &other), Progress::Done, "only the hello counts");
                prop_assert_eq!(whole(settled - 1, &other), Progress::TooLong);
            }
        }
    }

    /// "Need more" is only said where more can help, within the limit: so "invalid" and "too long" come at the
    /// first byte that settles them.
    #[test]
    fn what_needs_more_can_be_completed(
        opening in opening(), end in any::<Index>(), limit in prop_oneof![60_usize..2_000, Just(LIMIT), Just(200_000)],
    ) {
        let mut bytes = opening[..end.index(opening.len() + 1)].to_vec();
        let mut reader = HelloReader::new(limit);
        while reader.scan(&bytes) == Progress::NeedMore {
            bytes.push(0);
            let last = bytes.len() - 1;
            let next = (0..=255).find_map(|byte| {
                bytes[last] = byte;
                let mut next = reader.clone();
                matches!(next.scan(&bytes), Progress::NeedMore | Progress::Done).then_some(next)
            });
            prop_assert!(next.is_some(), "no byte goes on from {:02x?}", &bytes[..last]);
            reader = next.expect("just asserted");
            prop_assert!(bytes.len() <= limit, "no end in sight");
        }
    }
}

/// The reader never reads a byte twice while it needs more: what it has seen may be overwritten. The joining of
/// several records, once at the end, reads each a second time.
#[test]
fn what_was_scanned_is_not_read_again() {
    let hello = Hello {
        legacy_version: 0x0303,
        session_id: vec![1; 32],
        ciphers: vec![0x1301],
        name: Some("a.example".into()),
        protocols: vec![b"h2".to_vec()],
        versions: vec![0x0304],
        others: (0..6).map(|number| (0x5000 + number, vec![number as u8; 10_000])).collect(),
        places: proptest::strategy::ValueTree::current(
            &any::<[Index; 3]>()
                .new_tree(&mut proptest::test_runner::TestRunner::deterministic())
                .expect("indices"),
        ),
    };
    let message = hello.message();
    assert!(message.len() > 60_000);
    for fragment in [16_384, 1_000] {
        let opening = records(&message, &[fragment]);
        let mut reader = HelloReader::new(LIMIT);
        let mut seen = vec![0xff; opening.len()];
        for at in 0..opening.len() - 1 {
            seen[at] = opening[at];
            assert_eq!(reader.scan(&seen[..=at]), Progress::NeedMore, "byte {at}");
            seen[at] = 0xff;
        }
        assert_eq!(reader.scan(&opening), Progress::Done);
        assert_eq!(said(reader.hello(&opening).expect("done")), hello.said());
        assert!(reader.held() >= message.len(), "it takes several records, which are joined");
    }
}

/// A hello of one record is read where it lies.
#[test]
fn one_record_is_not_copied() {
    let opening = flight("openssl-tls13").bytes;
    let mut reader = HelloReader::new(LIMIT);
    assert_eq!(reader.scan(opening), Progress::Done);
    assert_eq!(reader.held(), 0);
}

#[test]
fn recorded_hellos() {
    let h2_and_http1 = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    for (name, expected) in [
        (
            "curl-tls",
            (Some("localhost"), h2_and_http1.clone(), vec![0x0304, 0x0303, 0x0302, 0x0301], 0x0303, 0x0304),
        ),
        ("openssl-tls12", (Some("a.example"), h2_and_http1, vec![], 0x0303, 0x0303)),
        ("openssl-tls13", (Some("a.example"), vec![b"h2".to_vec()], vec![0x0304], 0x0303, 0x0304)),
    ] {
        let flight = flight(name);
        assert_eq!(flight.speaks, Speaks::Tls);
        let every_byte: Vec<usize> = (1..=flight.bytes.len()).collect();
        for ends in [every_byte, ends_of(flight.segments)] {
            let mut reader = HelloReader::new(LIMIT);
            for end in ends {
                let done = if end < flight.bytes.len() { Progress::NeedMore } else { Progress::Done };
                assert_eq!(reader.scan(&flight.bytes[..end]), done, "{name} at {end}");
            }
            let (sni, alpn, versions, legacy, highest) = expected.clone();
            let expected = (sni.map(str::to_owned), alpn, versions, legacy, highest);
            assert_eq!(said(reader.hello(flight.bytes).expect("done")), expected, "{name}");
        }
    }
    assert_eq!(FLIGHTS.iter().filter(|flight| flight.speaks == Speaks::Tls).count(), 3);
}

#[test]
fn recordings_of_other_protocols_are_no_hellos() {
    for flight in FLIGHTS.iter().filter(|flight| flight.speaks != Speaks::Tls) {
        assert_eq!(whole(LIMIT, &flight.bytes[..1]), Progress::Invalid, "{}", flight.name);
    }
}

/// Each rule of the message, broken by hand: the offset in the message of the byte that must settle it.
/// So much may stand behind the cipher suites that their length has a least value, too: an odd one, if what is behind is odd.
#[test]
fn few_cipher_suites_in_front_of_as_much_as_there_can_be() {
    for extension in [65_530, 65_531] {
        let compression = with_length_8(&[0; 255]);
        let extensions = [&[0x50, 0][..], &with_length_16(&vec![7; extension])].concat();
        let head = [&[3, 3][..], &[9; 32], &[0, 0, 4, 0x13, 1, 0x13, 2]].concat();
        let body = [head, compression, with_length_16(&extensions)].concat();
        let message = [&[1][..], &(body.len() as u32).to_be_bytes()[1..], &body].concat();
        // The first record ends between the two bytes of that length: each is judged by itself.
        let opening = records(&message, &[40, 16_384]);
        assert_eq!(whole(100_000, &opening), Progress::Done, "{extension}");
    }
}

#[test]
fn broken_rules() {
    /// The shortest fixed part: one cipher suite, null compression; then this block of extensions.
    fn message(extensions: &[u8]) -> Vec<u8> {
        let body = [&[3, 3][..], &[9; 32], &[0, 0, 2, 0x13, 1, 1, 0], &with_length_16(extensions)].concat();
        [&[1, 0], &with_length_16(&body)[..]].concat()
    }
    let sni = [0, 0, 0, 6, 0, 4, 0, 0, 1, b'a'];
    let alpn = [0, 16, 0, 5, 0, 3, 2, b'h', b'2'];
    let versions = [0, 43, 0, 3, 2, 3, 4];
    assert_eq!(
        whole(LIMIT, &records(&message(&[sni.as_slice(), &alpn, &versions].concat()), &[500])),
        Progress::Done
    );
    // As many versions as there can be.
    let all_versions = [&[0, 43, 0, 255, 254][..], &[3; 254]].concat();
    for behind in [&[][..], &alpn] {
        let opening = records(&message(&[all_versions.as_slice(), behind].concat()), &[500]);
        assert_eq!(whole(LIMIT, &opening), Progress::Done);
    }

    let extensions_at = 47;
    let patched = |extensions: &[u8], at: usize, byte: u8| {
        let mut message = message(extensions);
        message[at] = byte;
        message
    };
    let twice = |extension: &[u8]| message(&[extension, extension].concat());
    let two_hosts = [0, 0, 0, 10, 0, 8, 0, 0, 1, b'a', 0, 0, 1, b'b'];
    for (rule, message, settled) in [
        ("the type is client_hello", patched(&sni, 0, 2), 0),
        ("the body has 41 bytes at least", patched(&[], 3, 40), 3),
        ("a session id has 32 bytes at most", patched(&[9; 40], 38, 33), 38),
        ("a session id fits the message", patched(&sni, 38, 13), 38),
        ("there are cipher suites", patched(&sni, 40, 0), 40),
        ("cipher suites have two bytes", patched(&sni, 40, 3), 40),
        ("cipher suites fit the message", patched(&sni, 39, 1), 39),
        ("there is a compression method", patched(&sni, 43, 0), 43),
        ("compression methods fit the message", patched(&sni, 43, 14), 43),
        ("one byte is no block of extensions", patched(&sni, 43, 12), 43),
        ("three bytes are no block of extensions", patched(&sni, 43, 10), 43),
        ("extensions end with the message", patched(&sni, 46, 9), 46),
        ("extensions end with the message: longer", patched(&sni, 45, 1), 45),
        ("an extension fits the block", patched(&[0x50, 0, 0, 0], 50, 1), 50),
        ("no junk behind the last extension", patched(&[0x50, 0, 0, 3, 1, 2, 3], 50, 2), 50),
        ("an extension is not read twice: server_name", twice(&sni), extensions_at + 11),
        ("an extension is not read twice: ALPN", twice(&alpn), extensions_at + 10),
        ("an extension is not read twice: supported_versions", twice(&versions), extensions_at + 8),
        ("a list of names is not empty", message(&[0, 0, 0, 2, 0, 0]), 48),
        ("a host name has its length and a byte", message(&[0, 0, 0, 5, 0, 3, 0, 0, 0]), 53),
        ("the list of names fills the extension", patched(&sni, 52, 3), 52),
        ("a host name is not empty", patched(&sni, 55, 0), 55),
        ("a name fits its list", patched(&sni, 55, 2), 55),
        ("a list has one host name", message(&two_hosts), 57),
        ("a protocol list is not empty", message(&[0, 16, 0, 2, 0, 0]), 48),
        ("a protocol list fills the extension", patched(&alpn, 52, 2), 52),
        ("a protocol name is not empty", patched(&alpn, 53, 0), 53),
        ("a protocol name fits its list", patched(&alpn, 53, 3), 53),
        ("a protocol name leaves room for the next", patched(&[0, 16, 0, 5, 0, 3, 2, 1, 1], 53, 3), 53),
        ("a list of versions is not empty", message(&[0, 43, 0, 1, 0]), 48),
        ("a list of versions fills the extension", patched(&versions, 51, 4), 51),
        (
            "a list of versions has 254 bytes at most",
            message(&[&[0, 43, 1, 1, 255][..], &[3; 256]].concat()),
            49,
        ),
        ("versions have two bytes", message(&[0, 43, 0, 4, 3, 3, 4, 3]), 48),
        (
            "versions have two bytes: in front of another extension",
            message(&[&[0, 43, 0, 4, 3, 3, 4, 3][..], &alpn].concat()),
            50,
        ),
    ] {
        let opening = records(&message, &[16_384]);
        let answers = answers(&opening);
        assert_eq!(settled_at(&answers), Some(5 + settled + 1), "{rule}");
        assert_eq!(answers[opening.len()], Progress::Invalid, "{rule}");
    }

    // A name of a type that does not exist: Go's server looks for a host name behind it, by its length; that of rustls does not, and
    // takes whatever stands there.
    for (names, name) in [
        (&[7, 0, 1, b'a', 0, 0, 1, b'b'][..], Some("b")),
        (&[7, 0, 0, 8, 0, 1, 9, 0, 0, 1, b'b'], Some("b")),
        (&[7, 0, 1, b'a', 0, 0, 1, b'b', 0, 0, 1, b'c'], Some("b")),
        (&[0, 0, 1, b'a', 7, 0, 1, 9, 0, 0, 1, b'b'], Some("a")),
        (&[0, 0, 1, b'a', 7, 0, 9], Some("a")),
        (&[7, 0, 9, b'a', 0, 0, 1, b'b'], None),
        (&[7, 0, 1, b'a', 0, 0, 0], None),
        (&[7, 0, 1, b'a', 0, 0, 2, b'b'], None),
        (&[7, 0, 1, b'a', 0, 0], None),
        (&[7, 0, 1, b'a', 0], None),
        (&[7, 0, 1, b'a'], None),
        (&[7, 0], None),
        (&[7], None),
    ] {
        let extension = [&[0, 0][..], &with_length_16(&with_length_16(names)), &alpn].concat();
        let opening = records(&message(&extension), &[16_384]);
        let mut reader = HelloReader::new(LIMIT);
        assert_eq!(reader.scan(&opening), Progress::Done);
        let hello = reader.hello(&opening).expect("done");
        assert_eq!((hello.sni(), hello.alpn().count()), (name, 1), "{names:?}");
    }
    // An extension that is not read may come twice: the backend judges it.
    let unknown = [0x50, 0, 0, 0, 0x50, 0, 0, 0];
    assert_eq!(whole(LIMIT, &records(&message(&unknown), &[16_384])), Progress::Done);
}
