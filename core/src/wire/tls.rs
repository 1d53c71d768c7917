//! The ClientHello that opens a TLS connection (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2), read as it arrives.
//!
//! ```text
//! record header       handshake header    body ...   record header
//! 16 03 xx len len -> 01 len len len  ->  03 03 ...  16 03 xx len len -> ... body   | later bytes
//! |<----------- a hello may take any number of records, and records any number of segments -->|
//! ```
//!
//! Two automata work on the bytes as they come: [`HelloReader`] takes the record layer off (RFC 8446 §5.1) and
//! `grammar` follows the message, so that a byte that no ClientHello can have there is noticed at once. Both
//! keep offsets, not bytes. Only a hello that arrived in several records is put together, once, when it is
//! complete: one allocation of at most the limit.
//!
//! What is checked is what is needed to read the hello without doubt: every length fits its surroundings,
//! nothing is left over, and an extension that is read occurs once. What only a server can judge (versions,
//! cipher suites, the content of other extensions, compression) is left to the backend. An SSL 2 hello is not
//! recognised: RFC 6176 forbids it, and it carries no names.
//!
//! Bytes behind the hello do not matter, neither more handshake bytes in its last record nor further records
//! (early data): the backend gets them and judges them.

mod grammar;
mod hello;

pub use hello::{is_grease, Alpn, ClientHello, OwnedHello, SupportedVersions};

use self::grammar::Grammar;
use super::progress::Progress;

/// The length of a record header.
const HEADER: usize = 5;

/// The length of a handshake message's header: its type and length.
const MESSAGE_HEADER: usize = 4;

/// The longest fragment of a plaintext record (RFC 8446 §5.1).
const MAX_FRAGMENT: usize = 1 << 14;

/// Finds the end of a ClientHello and checks it on the way.
#[derive(Clone, Debug)]
pub struct HelloReader {
    limit: usize,
    /// Offset in the opening of the next byte to look at.
    at: usize,
    records: usize,
    /// Bytes of the current record's header read so far; `HEADER` while in its fragment.
    header: usize,
    /// The record's length field while the header is read, then how much of the fragment is to come.
    fragment: usize,
    grammar: Grammar,
    /// The message of a hello that took more than one record.
    joined: Vec<u8>,
    progress: Progress,
}

impl HelloReader {
    /// A reader for a hello of at most `limit` bytes, which are those of the handshake message with its
    /// header and of the record headers up to its end. Limits above 4 GiB are taken as 4 GiB.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.min(usize::try_from(u32::MAX).unwrap_or(usize::MAX)),
            at: 0,
            records: 0,
            header: 0,
            fragment: 0,
            grammar: Grammar::new(),
            joined: Vec::new(),
            progress: Progress::NeedMore,
        }
    }

    /// Goes on where the last call stopped. `opening` is everything the client has sent: the bytes of the last
    /// call, and new ones behind them.
    ///
    /// [`Progress::TooLong`] is given as soon as the lengths that were read add up to more than the limit:
    /// usually at the length of the handshake message, otherwise at the header of a record. No hello takes
    /// less than 50 bytes.
    pub fn scan(&mut self, opening: &[u8]) -> Progress {
        while self.progress == Progress::NeedMore {
            match opening.get(self.at..) {
                None | Some([]) => break,
                Some([byte, ..]) if self.header < HEADER => self.step_header(*byte),
                Some(rest) => self.step_fragment(rest.get(..self.fragment).unwrap_or(rest)),
            }
            if self.progress == Progress::Done && self.records > 1 {
                self.joined = join(opening, self.grammar.position());
            }
        }
        self.progress
    }

    /// How many bytes of the opening have been looked at. Once [`scan`](Self::scan) has settled on an answer: those that it took.
    #[must_use]
    pub const fn consumed(&self) -> usize {
        self.at
    }

    /// Bytes of memory held for a hello that took more than one record.
    #[must_use]
    pub fn held(&self) -> usize {
        self.joined.capacity()
    }

    /// The hello, once [`scan`](Self::scan) has answered [`Progress::Done`] for this `opening`.
    #[must_use]
    pub fn hello<'a>(&'a self, opening: &'a [u8]) -> Option<ClientHello<'a>> {
        if self.progress != Progress::Done {
            return None;
        }
        let message = if self.records > 1 { self.joined.as_slice() } else { opening.get(HEADER..self.at)? };
        Some(ClientHello::new(message, self.grammar.found()))
    }

    /// One byte of a record header: type handshake(22), version 3.x, length up to 2^14.
    ///
    /// The minor version is not looked at (RFC 8446 §5.1). Any other type between the records of one message is forbidden. So is a
    /// fragment without a byte, but there are servers that pass over it (seen: OpenSSL's), so that it must not hide a hello.
    fn step_header(&mut self, byte: u8) {
        let value = usize::from(byte);
        let possible = match self.header {
            0 => byte == 22,
            1 => byte == 3,
            2 => true,
            3 => {
                self.fragment = value << 8;
                self.fragment <= MAX_FRAGMENT
            }
            _ => {
                self.fragment |= value;
                self.fragment <= MAX_FRAGMENT
            }
        };
        if self.header == 0 {
            self.records += 1;
        }
        self.at += 1;
        self.header += 1;
        if !possible {
            self.progress = Progress::Invalid;
        } else if self.least_length() > self.limit {
            self.progress = Progress::TooLong;
        }
    }

    fn step_fragment(&mut self, available: &[u8]) {
        // The message's own header byte by byte: each byte of its length may settle everything, and then none behind it was needed.
        let in_own_header = self.grammar.position() < MESSAGE_HEADER;
        let available = if in_own_header { available.get(..1).unwrap_or(available) } else { available };
        let used = self.grammar.push(available);
        self.at += used;
        self.fragment = self.fragment.saturating_sub(used);
        if self.fragment == 0 {
            self.header = 0;
        }
        // A length that is both beyond the limit and beyond any hello is too long first.
        self.progress = match self.least_length() > self.limit {
            true => Progress::TooLong,
            false => self.grammar.progress(),
        };
    }

    /// How many bytes a hello that begins as this one needs at least: its message as far as its length is
    /// known, the record headers so far, and those that its rest cannot do without.
    fn least_length(&self) -> usize {
        let message = self.grammar.least_length();
        let covered = self.grammar.position()
            + match self.header {
                0 => 0,
                HEADER => self.fragment,
                4 => MAX_FRAGMENT.min(self.fragment | 0xff),
                _ => MAX_FRAGMENT,
            };
        let more_records = message.saturating_sub(covered).div_ceil(MAX_FRAGMENT);
        message + (self.records + more_records) * HEADER
    }
}

/// The first `length` bytes of the message that the records of `opening` carry.
fn join(opening: &[u8], length: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(length);
    let mut rest = opening;
    while let [_, _, _, high, low, fragment @ ..] = rest {
        let size = usize::from(u16::from_be_bytes([*high, *low]));
        let wanted = length - message.len();
        message.extend_from_slice(fragment.get(..size.min(wanted)).unwrap_or(fragment));
        if message.len() == length {
            break;
        }
        rest = fragment.get(size..).unwrap_or_default();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello with one cipher suite and these extensions; `None` for none at all.
    fn message(extensions: Option<&[u8]>) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        if let Some(extensions) = extensions {
            body.extend(u16::try_from(extensions.len()).expect("short").to_be_bytes());
            body.extend(extensions);
        }
        let mut message = vec![1, 0];
        message.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
        message.extend(body);
        message
    }

    /// Records with fragments of this many bytes.
    fn records(message: &[u8], fragment: usize) -> Vec<u8> {
        message
            .chunks(fragment)
            .flat_map(|chunk| {
                let length = u16::try_from(chunk.len()).expect("short").to_be_bytes();
                [&[22, 3, 1], &length[..], chunk].concat()
            })
            .collect()
    }

    /// Feeds byte by byte; the answer and the number of bytes that settled it.
    fn settle(limit: usize, opening: &[u8]) -> (Progress, usize) {
        let mut reader = HelloReader::new(limit);
        for end in 0..=opening.len() {
            let progress = reader.scan(&opening[..end]);
            if progress.is_settled() {
                return (progress, end);
            }
        }
        (Progress::NeedMore, opening.len())
    }

    #[test]
    fn record_headers() {
        for (header, settled) in [
            (&[21, 3, 1, 0, 2][..], Some(1)),
            (&[0x80], Some(1)),
            (&[22, 2], Some(2)),
            (&[22, 4], Some(2)),
            (&[22, 3, 0, 0x40, 0], None),
            (&[22, 3, 255, 0x40, 1], Some(5)),
            (&[22, 3, 4, 0x41], Some(4)),
            (&[22, 3, 1, 0, 0], None),
            (&[22, 3, 1, 0, 0, 21], Some(6)),
            (&[22, 3, 1, 0, 1], None),
        ] {
            let expected = match settled {
                Some(at) => (Progress::Invalid, at),
                None => (Progress::NeedMore, header.len()),
            };
            assert_eq!(settle(65_536, header), expected, "{header:?}");
        }
    }

    /// They are forbidden, but OpenSSL's server passes over them.
    #[test]
    fn records_without_a_fragment_hide_nothing() {
        const EMPTY: [u8; 5] = [22, 3, 1, 0, 0];
        let hello = message(Some(&[0, 16, 0, 5, 0, 3, 2, b'h', b'2']));
        for before in [0, 1, 3] {
            for (fragment, between) in [(hello.len(), 0), (40, 0), (40, 2)] {
                let mut opening = EMPTY.repeat(before);
                let whole = records(&hello, fragment);
                let (first, rest) = whole.split_at(HEADER + fragment);
                opening.extend([first, &EMPTY.repeat(between), rest].concat());
                assert_eq!(settle(opening.len(), &opening), (Progress::Done, opening.len()));
                assert_eq!(settle(opening.len() - 1, &opening).0, Progress::TooLong, "each counts");
                let mut reader = HelloReader::new(65_536);
                assert_eq!(reader.scan(&opening), Progress::Done);
                assert_eq!(reader.hello(&opening).expect("done").alpn().count(), 1);
            }
        }
        assert_eq!(settle(65_536, &EMPTY.repeat(20_000)).0, Progress::TooLong);
    }

    #[test]
    fn a_hello_without_extensions_over_any_records() {
        let message = message(None);
        assert_eq!(message.len(), 45, "the shortest hello there is");
        for fragment in 1..=message.len() {
            let opening = records(&message, fragment);
            let mut reader = HelloReader::new(65_536);
            assert_eq!(reader.scan(&opening), Progress::Done, "fragments of {fragment}");
            let hello = reader.hello(&opening).expect("done");
            assert_eq!(hello.legacy_version(), 0x0303);
            assert_eq!(hello.max_version(), 0x0303);
            assert_eq!((hello.sni(), hello.alpn().count()), (None, 0));
            assert_eq!(hello.supported_versions().count(), 0);
            assert_eq!(settle(65_536, &opening), (Progress::Done, opening.len()));
        }
    }

    #[test]
    fn the_record_type_must_not_change_on_the_way() {
        let mut opening = records(&message(None), 20);
        opening[25] = 20;
        assert_eq!(settle(65_536, &opening), (Progress::Invalid, 26));
    }

    #[test]
    fn bytes_behind_the_hello_do_not_matter() {
        let mut message = message(Some(&[]));
        let length = message.len();
        message.extend([99; 40]);
        let in_the_record = records(&message, 1_000);
        assert_eq!(settle(65_536, &in_the_record), (Progress::Done, HEADER + length));
        let mut reader = HelloReader::new(HEADER + length);
        assert_eq!(reader.scan(&in_the_record), Progress::Done, "what is behind does not count");
        assert_eq!(reader.hello(&in_the_record).expect("done").legacy_version(), 0x0303);
    }

    #[test]
    fn joining_stops_at_the_end_of_the_hello() {
        let mut message = message(Some(&[0, 16, 0, 5, 0, 3, 2, b'h', b'2']));
        let length = message.len();
        message.extend([99; 100]);
        // The hello ends inside its second record; more records follow.
        let opening = records(&message, 40);
        let mut reader = HelloReader::new(65_536);
        assert_eq!(reader.scan(&opening), Progress::Done);
        assert_eq!(reader.joined, message[..length]);
        assert_eq!(reader.hello(&opening).expect("done").alpn().count(), 1);
    }

    /// The record ends with the length of the message: the rest needs another one, and so another header.
    #[test]
    fn the_header_of_the_next_record_counts_before_it_comes() {
        let opening = [22, 3, 1, 0, 4, 1, 0, 0, 100];
        let least = HEADER + 4 + HEADER + 100;
        assert_eq!(settle(least - 1, &opening), (Progress::TooLong, opening.len()));
        assert_eq!(settle(least, &opening), (Progress::NeedMore, opening.len()));
    }

    #[test]
    fn a_length_that_nothing_can_fill_is_invalid() {
        // The longest body there is needs the longest session id.
        let start =
            |session_id: u8| [&[22, 3, 1, 0x40, 0, 1, 2, 1, 0x44][..], &[3; 34], &[session_id]].concat();
        assert_eq!(settle(200_000, &start(32)).0, Progress::NeedMore);
        assert_eq!(settle(200_000, &start(31)), (Progress::Invalid, 44));
    }

    #[test]
    fn the_limit_counts_the_message_and_its_record_headers() {
        let message = message(None);
        for (fragment, needed) in [(45, 50), (23, 55), (1, 45 * 6)] {
            let opening = records(&message, fragment);
            assert_eq!(opening.len(), needed);
            assert_eq!(settle(needed, &opening), (Progress::Done, needed));
            assert_eq!(settle(needed - 1, &opening).0, Progress::TooLong, "fragments of {fragment}");
        }
        // Nothing shorter than this is a hello. Two records: known with the header of the first.
        assert_eq!(settle(49, &records(&message, 45)), (Progress::TooLong, 1));
        assert_eq!(settle(54, &records(&message, 23)), (Progress::TooLong, 5));
        assert_eq!(settle(54, &records(&message, 44)), (Progress::TooLong, 5));
        assert_eq!(settle(49, b"GET"), (Progress::Invalid, 1));
        // A longer one: known with its length.
        let message = self::message(Some(&[]));
        assert_eq!(settle(51, &records(&message, 47)), (Progress::TooLong, 9));
        assert_eq!(settle(56, &records(&message, 46)), (Progress::TooLong, 9));
        assert_eq!(settle(57, &records(&message, 46)), (Progress::Done, 57));
    }

    #[test]
    fn a_declared_length_beyond_the_limit_is_too_long_at_once() {
        let start = |length: [u8; 3]| [&[22, 3, 1, 0x40, 0, 1][..], &length].concat();
        // A message of 65,536 bytes less four record headers needs four records, and has this length.
        assert_eq!(settle(65_536, &start([0, 0xff, 0xe8])).0, Progress::NeedMore);
        assert_eq!(settle(65_536, &start([0, 0xff, 0xe9])), (Progress::TooLong, 9));
        assert_eq!(settle(65_536, &start([1, 0, 0])), (Progress::TooLong, 7));
        assert_eq!(settle(65_536, &start([255, 0, 0])), (Progress::TooLong, 7));
        assert_eq!(settle(200_000, &start([2, 1, 0x44])).0, Progress::NeedMore, "the longest hello");
        assert_eq!(settle(200_000, &start([2, 1, 0x45])), (Progress::Invalid, 9));
        assert_eq!(settle(200_000, &start([0, 0, 40])), (Progress::Invalid, 9));
    }

    #[test]
    fn a_shorter_opening_than_the_scanned_one_panics_nowhere() {
        let opening = records(&message(Some(&[0, 16, 0, 5, 0, 3, 2, b'h', b'2'])), 1_000);
        let mut reader = HelloReader::new(65_536);
        assert_eq!(reader.scan(&opening), Progress::Done);
        assert_eq!(reader.hello(&opening).expect("done").alpn().count(), 1);
        assert!(reader.hello(&opening[..20]).is_none());
        assert_eq!(reader.scan(&[]), Progress::Done);
    }
}
