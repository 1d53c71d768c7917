//! The head of an HTTP/1 request (RFC 9112), read as it arrives.
//!
//! ```text
//! [CRLF]  GET SP /path?query SP HTTP/1.1 CRLF  Host: a.example CRLF  ...  CRLF  body, next request
//! |       |<--- request line: request_line() --->|<---- fields() ---->|        |
//! |<-------------------------- head: head_len() ------------------------------>|   not looked at
//! ```
//!
//! The scanner is an automaton of one byte at a time. It keeps the automaton's state and the offset where it
//! stopped, looks at no byte more than twice, and holds no bytes of its own.
//!
//! Where the grammar leaves a choice, it is made here:
//! - **Line ends**: a bare LF ends a line (RFC 9112 §2.2 allows it and servers do it); a CR that no LF follows
//!   is refused.
//! - **Before the request line**, one empty line is passed over (RFC 9112 §2.2) and proves nothing. A second
//!   one is refused: a flood of line ends is no request.
//! - **Method**: any token, since methods are extensible (RFC 9110 §9.1), of at most [`MAX_METHOD`] bytes.
//! - **Target**: any bytes but controls and spaces. Bytes from 0x80 are not in the grammar, but clients send
//!   raw UTF-8 paths and nginx, Go and hyper serve them, so the backend is left to judge. So it is for the
//!   form of the target (RFC 9112 §3.2): a strange one deserves the backend's 400.
//! - **Version**: `HTTP/1.` and one digit (RFC 9112 §2.3). No minor version above 1 exists or will, but servers take
//!   them for the highest that they know (RFC 9110 §2.5; nginx and Go do), so that they must not be a way around the routes of
//!   HTTP. `PRI * HTTP/2.0` is refused at the `2`.
//! - **Fields**: no white space before the colon (RFC 9112 §5.1), no line folding (§5.2), no controls but HTAB
//!   in a value (RFC 9110 §5.5): each has been a way to make two servers disagree about one request.

mod fields;
mod target;

pub use fields::Fields;
pub use target::{authority_of, connect_parts, host_of, path_of};

use super::progress::Progress;
use super::span::Span;

/// The longest method that is taken for one, in bytes.
///
/// The longest in IANA's registry is `UPDATEREDIRECTREF` with 17; private methods stay in that range. The
/// bound settles early that a long run of letters (Base64, a text protocol) is no HTTP: it is
/// [`Progress::Invalid`], not [`Progress::TooLong`], because nothing of HTTP was recognised yet.
pub const MAX_METHOD: usize = 32;

/// What stands before the minor version.
const VERSION: &[u8; 7] = b"HTTP/1.";

/// How nearly all request lines end.
const USUAL_END: &[u8] = b"HTTP/1.1\r\n";

/// Finds the end of a request head and checks it on the way.
#[derive(Clone, Debug)]
pub struct HeadScanner {
    limit: u32,
    at: u32,
    method: Span,
    target: Span,
    fields_start: u32,
    fields: u32,
    state: State,
    /// The minor version, once the request line is whole.
    minor: Option<u8>,
}

/// What the next byte may be.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The first byte of all: an empty line may come.
    Start,
    /// The LF of the empty line before the request line.
    StartLf,
    /// The first byte of the method, behind an empty line.
    MethodStart,
    Method,
    TargetStart,
    Target,
    /// The byte of [`VERSION`] at this index.
    Version(u8),
    Minor,
    /// CR or LF, after this minor version.
    LineEnd(u8),
    /// The LF of the request line with this minor version.
    LineLf(u8),
    FieldStart,
    FieldName,
    FieldValue,
    FieldLf,
    /// The LF of the empty line that ends the head.
    HeadLf,
    Settled(Progress),
}

impl HeadScanner {
    /// A scanner for a head of at most `limit` bytes, counted from the first byte of the opening to the LF of
    /// the empty line that ends the head. Limits above 4 GiB are taken as 4 GiB.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            at: 0,
            method: Span::default(),
            target: Span::default(),
            fields_start: 0,
            fields: 0,
            state: State::Start,
            minor: None,
        }
    }

    /// Goes on where the last call stopped. `opening` is everything the client has sent: the bytes of the last
    /// call, and new ones behind them.
    ///
    /// The answer is for the whole head; [`line_progress`](Self::line_progress) has the one for the request
    /// line, which may be [`Progress::Done`] when this one is not, and stays so when a field is malformed.
    /// [`Progress::TooLong`] is given at the byte of the limit, since a head that it does not complete needs
    /// another one.
    pub fn scan(&mut self, opening: &[u8]) -> Progress {
        self.go_on(opening, false)
    }

    /// As [`scan`](Self::scan), but stops behind the request line and leaves the fields for a later call of `scan`. The answer is for
    /// the whole head: of one that needs more, [`line_progress`](Self::line_progress) says whether its line is there.
    pub fn scan_line(&mut self, opening: &[u8]) -> Progress {
        self.go_on(opening, true)
    }

    fn go_on(&mut self, opening: &[u8], only_line: bool) -> Progress {
        let reach = opening.len().min(to_usize(self.limit));
        let mut rest = opening.get(to_usize(self.at)..reach).unwrap_or_default();
        while let [byte, behind @ ..] = rest {
            // What comes whole, as nearly all does, is not worth a step for each byte.
            let usual = match self.state {
                State::Settled(_) => break,
                State::FieldStart if only_line => break,
                State::FieldStart => self.step_field(rest),
                State::Version(0) => self.step_line_end(rest),
                _ => None,
            };
            let length = match usual {
                Some(length) => length,
                None => {
                    self.state = self.step(*byte);
                    1 + self.run_length(behind)
                }
            };
            // Both lie below the limit, which fits.
            self.at += length as u32;
            rest = rest.get(length..).unwrap_or_default();
        }
        if self.at >= self.limit && !self.progress().is_settled() {
            self.state = State::Settled(Progress::TooLong);
        }
        self.progress()
    }

    /// The usual end of a request line, if it is whole.
    fn step_line_end(&mut self, rest: &[u8]) -> Option<usize> {
        if !rest.starts_with(USUAL_END) {
            return None;
        }
        self.minor = Some(1);
        self.fields_start = self.at + USUAL_END.len() as u32;
        self.state = State::FieldStart;
        Some(USUAL_END.len())
    }

    /// The length of a field line, if it is whole. The state in front of it is that behind it.
    fn step_field(&mut self, rest: &[u8]) -> Option<usize> {
        let colon = rest.iter().position(|&byte| !is_token(byte))?;
        let value = rest.get(colon..)?.strip_prefix(b":")?;
        let length = value.iter().position(|&byte| !is_value(byte))?;
        if colon == 0 || !value.get(length..)?.starts_with(b"\r\n") {
            return None;
        }
        self.fields += 1;
        Some(colon + 1 + length + 2)
    }

    /// What is known of the request line alone.
    pub fn line_progress(&self) -> Progress {
        if self.minor.is_some() {
            Progress::Done
        } else {
            self.progress()
        }
    }

    /// The request line, as soon as its line end has been read.
    #[must_use]
    pub fn request_line(&self) -> Option<RequestLine> {
        self.minor.map(|minor| RequestLine { method: self.method, target: self.target, minor })
    }

    /// The field lines in their order, without allocation; none unless [`scan`](Self::scan) has answered
    /// [`Progress::Done`] for this `opening`.
    #[must_use]
    pub fn fields<'a>(&self, opening: &'a [u8]) -> Fields<'a> {
        match self.progress() {
            Progress::Done => {
                let lines = to_usize(self.fields_start)..to_usize(self.at);
                Fields::new(opening.get(lines).unwrap_or_default())
            }
            _ => Fields::new(&[]),
        }
    }

    /// How many bytes were looked at: after [`Progress::Done`] the length of the head, with a tolerated empty
    /// line before it and the one that ends it.
    #[must_use]
    pub fn head_len(&self) -> usize {
        to_usize(self.at)
    }

    /// The most that names and values of the fields so far can take with their lengths, each of four bytes.
    pub(crate) fn fields_len(&self) -> usize {
        // Colon and line end, which are not kept, are two bytes at least.
        const MORE: usize = 2 * 4 - 2;
        to_usize(self.at.saturating_sub(self.fields_start)) + to_usize(self.fields) * MORE
    }

    fn progress(&self) -> Progress {
        match self.state {
            State::Settled(progress) => progress,
            _ => Progress::NeedMore,
        }
    }

    /// How many of the next bytes leave the state as it is. Most of a head is such runs, inside of the target, names and values.
    fn run_length(&self, next: &[u8]) -> usize {
        let stays = match self.state {
            State::Method => {
                // A method that goes on is left to `step`, which knows how long one may be.
                let left = MAX_METHOD.saturating_sub(to_usize(self.at + 1 - self.method.start));
                return next.iter().take(left).take_while(|&&byte| is_token(byte)).count();
            }
            State::Target => TARGET,
            State::FieldName => TOKEN,
            State::FieldValue => VALUE,
            _ => return 0,
        };
        next.iter().take_while(|&&byte| is(byte, stays)).count()
    }

    fn step(&mut self, byte: u8) -> State {
        const INVALID: State = State::Settled(Progress::Invalid);
        match (self.state, byte) {
            (State::Start, b'\r') => State::StartLf,
            (State::Start | State::StartLf, b'\n') => State::MethodStart,
            (State::Start | State::MethodStart, _) if is_token(byte) => {
                self.method = self.span_from_here();
                State::Method
            }
            (State::Method, b' ') => {
                self.method.end = self.at;
                State::TargetStart
            }
            (State::Method, _) if is_token(byte) && to_usize(self.at - self.method.start) < MAX_METHOD => {
                State::Method
            }
            (State::TargetStart, _) if is_target(byte) => {
                self.target = self.span_from_here();
                State::Target
            }
            (State::Target, b' ') => {
                self.target.end = self.at;
                State::Version(0)
            }
            (State::Target, _) if is_target(byte) => State::Target,
            (State::Version(index), _) if VERSION.get(usize::from(index)) == Some(&byte) => {
                if usize::from(index) + 1 == VERSION.len() {
                    State::Minor
                } else {
                    State::Version(index + 1)
                }
            }
            (State::Minor, b'0'..=b'9') => State::LineEnd(byte - b'0'),
            (State::LineEnd(minor), b'\r') => State::LineLf(minor),
            (State::LineEnd(minor) | State::LineLf(minor), b'\n') => {
                self.minor = Some(minor);
                self.fields_start = self.at + 1;
                State::FieldStart
            }
            (State::FieldStart, b'\r') => State::HeadLf,
            (State::FieldStart | State::HeadLf, b'\n') => State::Settled(Progress::Done),
            (State::FieldName, b':') => State::FieldValue,
            (State::FieldStart, _) if is_token(byte) => {
                self.fields += 1;
                State::FieldName
            }
            (State::FieldName, _) if is_token(byte) => State::FieldName,
            (State::FieldValue, b'\r') => State::FieldLf,
            (State::FieldValue | State::FieldLf, b'\n') => State::FieldStart,
            (State::FieldValue, _) if is_value(byte) => State::FieldValue,
            _ => INVALID,
        }
    }

    fn span_from_here(&self) -> Span {
        Span { start: self.at, end: self.at }
    }
}

/// A complete and valid request line; where its parts stand in the opening, not the bytes themselves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestLine {
    method: Span,
    target: Span,
    minor: u8,
}

impl RequestLine {
    /// The method, a token of 1 to [`MAX_METHOD`] bytes, as sent: methods are case-sensitive (RFC 9110 §9.1).
    /// Empty if `opening` is not the scanned one but shorter.
    #[must_use]
    pub fn method<'a>(&self, opening: &'a [u8]) -> &'a [u8] {
        self.method.of(opening).unwrap_or_default()
    }

    /// The request target, as sent: see [`path_of`], [`authority_of`] and, for CONNECT, [`connect_parts`]. Empty if `opening` is not the
    /// scanned one but shorter.
    #[must_use]
    pub fn target<'a>(&self, opening: &'a [u8]) -> &'a [u8] {
        self.target.of(opening).unwrap_or_default()
    }

    /// The minor version as sent: 0 for HTTP/1.0, 1 for HTTP/1.1. Those from 2 to 9 do not exist, and are to be taken for 1 (RFC 9110
    /// §2.5).
    #[must_use]
    pub fn minor_version(&self) -> u8 {
        self.minor
    }
}

/// `tchar` of RFC 9110 §5.6.2.
const TOKEN: u8 = 1;
/// A byte of a request target: everything but controls and SP.
const TARGET: u8 = 2;
/// A byte of a field value: `field-vchar`, SP or HTAB of RFC 9110 §5.5.
const VALUE: u8 = 4;

/// What each byte may be part of.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        let is_control = byte < 0x20 || byte == 0x7f;
        if !is_control && byte != b' ' as usize {
            classes[byte] |= TARGET;
        }
        if !is_control || byte == b'\t' as usize {
            classes[byte] |= VALUE;
        }
        if byte < 0x80 && (byte as u8).is_ascii_alphanumeric() {
            classes[byte] |= TOKEN;
        }
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < others.len() {
        classes[others[index] as usize] |= TOKEN;
        index += 1;
    }
    classes
};

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

fn is_token(byte: u8) -> bool {
    is(byte, TOKEN)
}

fn is_target(byte: u8) -> bool {
    is(byte, TARGET)
}

fn is_value(byte: u8) -> bool {
    is(byte, VALUE)
}

fn to_usize(offset: u32) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Progress {
        HeadScanner::new(65_536).scan(bytes)
    }

    #[test]
    fn tables_follow_the_grammar() {
        let token: Vec<u8> = (0..=255).filter(|&byte| is_token(byte)).collect();
        let expected = b"!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~";
        assert_eq!(token, expected);
        for byte in 0..=255_u8 {
            let control = byte < 0x20 || byte == 0x7f;
            assert_eq!(is_target(byte), !control && byte != b' ', "target byte {byte:#04x}");
            assert_eq!(is_value(byte), !control || byte == b'\t', "value byte {byte:#04x}");
        }
    }

    #[test]
    fn heads_are_settled_at_their_last_needed_byte() {
        // What stands before the bar is a head; the byte before the bar is the one that settles it.
        for head in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\n\n",
            "\r\nGET / HTTP/1.1\r\n\r\n",
            "\nGET / HTTP/1.1\r\nA:\r\nB: \t x \t\r\n\n",
            "OPTIONS * HTTP/1.1\r\n\r\n",
            "CONNECT a.example:443 HTTP/1.1\r\n\r\n",
            "get p\u{e4}th HTTP/1.1\r\nx: \u{e4}\r\n\r\n",
            "!#$%&'*+-.^_`|~ x HTTP/1.1\r\n\r\n",
        ] {
            let (bytes, before) = (head.as_bytes(), &head.as_bytes()[..head.len() - 1]);
            assert_eq!(scan(before), Progress::NeedMore, "{head:?} without its last byte");
            assert_eq!(scan(bytes), Progress::Done, "{head:?}");
        }
    }

    #[test]
    fn malformed_heads_are_settled_at_the_first_wrong_byte() {
        for head in [
            "\0",
            " ",
            ":",
            "\r\r",
            "\r\n\r",
            "\n\n",
            "\r\nG\r",
            "\r ",
            "GET\t",
            "GET\r",
            "G\u{e4}",
            "GET  ",
            "GET \r",
            "GET /\n",
            "GET /\r",
            "GET /\0",
            "GET /\x7f",
            "GET / \n",
            "GET / h",
            "GET / HTTP/2",
            "GET / HTTP/0",
            "GET / HTTP/1.\r",
            "GET / HTTP/1.x",
            "GET / HTTP/1.10",
            "GET / HTTP/1.90",
            "GET / HTTP/1.1 ",
            "GET / HTTP/1.1\r\r",
            "GET / HTTP/1.1\rA",
            "PRI * HTTP/2",
            "GET / HTTP/1.1\r\n ",
            "GET / HTTP/1.1\r\n\t",
            "GET / HTTP/1.1\r\n:",
            "GET / HTTP/1.1\r\n\rA",
            "GET / HTTP/1.1\r\nA ",
            "GET / HTTP/1.1\r\nA\t",
            "GET / HTTP/1.1\r\nA\r",
            "GET / HTTP/1.1\r\nA\n",
            "GET / HTTP/1.1\r\nA: x\0",
            "GET / HTTP/1.1\r\nA: x\rB",
            "GET / HTTP/1.1\r\nA: x\x0b",
            "GET / HTTP/1.1\r\nA: x\x7f",
            "GET / HTTP/1.1\r\nA: x\r\n ",
            "GET / HTTP/1.1\r\nA: x\n\t",
            "GET / HTTP/1.1\r\n\u{e4}",
        ] {
            // A character beyond ASCII is settled by the first of its bytes.
            let settled = head.char_indices().last().map_or(0, |(at, _)| at) + 1;
            let bytes = &head.as_bytes()[..settled];
            assert_eq!(scan(&bytes[..settled - 1]), Progress::NeedMore, "{head:?} without its last byte");
            assert_eq!(scan(bytes), Progress::Invalid, "{head:?}");
        }
    }

    #[test]
    fn a_method_of_the_longest_length_is_one() {
        let fits = format!("{} ", "M".repeat(MAX_METHOD));
        assert_eq!(scan(fits.as_bytes()), Progress::NeedMore);
        let behind_empty_line = format!("\r\n{fits}");
        assert_eq!(scan(behind_empty_line.as_bytes()), Progress::NeedMore);
        let long = "M".repeat(MAX_METHOD + 1);
        assert_eq!(scan(long.as_bytes()), Progress::Invalid);
    }

    #[test]
    fn the_request_line_survives_a_malformed_field() {
        let opening = b"\r\nPUT /a?b HTTP/1.0\r\nA: x\r\nB : x\r\n\r\n";
        let mut scanner = HeadScanner::new(1_000);
        assert_eq!(scanner.scan(&opening[..20]), Progress::NeedMore);
        assert_eq!((scanner.request_line(), scanner.line_progress()), (None, Progress::NeedMore));
        assert_eq!(scanner.scan(opening), Progress::Invalid);
        assert_eq!(scanner.line_progress(), Progress::Done);
        let line = scanner.request_line().expect("the line is valid");
        assert_eq!(line.method(opening), b"PUT");
        assert_eq!(line.target(opening), b"/a?b");
        assert_eq!(line.minor_version(), 0);
        assert_eq!(scanner.fields(opening).count(), 0, "a malformed head has no fields");
    }

    #[test]
    fn the_limit_counts_the_head_and_nothing_behind_it() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        let opening = [head.as_slice(), &[b'x'; 100]].concat();
        assert_eq!(HeadScanner::new(head.len()).scan(&opening), Progress::Done);
        assert_eq!(HeadScanner::new(head.len() - 1).scan(&opening), Progress::TooLong);
        let mut scanner = HeadScanner::new(18);
        assert_eq!(scanner.scan(&opening), Progress::TooLong);
        assert_eq!(scanner.line_progress(), Progress::Done, "the line fitted");
        let mut scanner = HeadScanner::new(15);
        assert_eq!(scanner.scan(&head[..14]), Progress::NeedMore);
        assert_eq!(scanner.scan(&head[..15]), Progress::TooLong, "the byte of the limit settles it");
        assert_eq!(scanner.line_progress(), Progress::TooLong);
    }

    #[test]
    fn a_shorter_opening_than_the_scanned_one_panics_nowhere() {
        let opening = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        let mut scanner = HeadScanner::new(1_000);
        assert_eq!(scanner.scan(opening), Progress::Done);
        assert_eq!(scanner.scan(b"GE"), Progress::Done);
        assert_eq!(scanner.fields(b"GE").count(), 0);
        let line = scanner.request_line().expect("the line is valid");
        assert_eq!((line.method(b"GE"), line.target(b"GE")), (&b""[..], &b""[..]));
    }
}
