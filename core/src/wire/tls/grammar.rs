//! The structure of a ClientHello, followed byte by byte.
//!
//! ```text
//! type length | version random session-id<0..32> cipher-suites<2..2^16-2> compression<1..2^8-1> [extensions]
//! ```
//!
//! The automaton knows two kinds of bytes: those that it skips, and big-endian numbers. A number is judged at
//! each of its bytes: if none of the values it can still take leaves a way to end the message exactly at its
//! length, no continuation can be a ClientHello. So the answer comes at the first impossible byte, and the
//! invariant of each field is that at least one value fits.

use crate::wire::progress::Progress;
use crate::wire::span::Span;

const CLIENT_HELLO: u32 = 1;

/// The only type of a server name (RFC 6066 §3).
const HOST_NAME: u32 = 0;

/// Type and length of a handshake message.
const HEADER: u32 = 4;

const VERSION_AND_RANDOM: u32 = 34;
const MAX_SESSION_ID: u32 = 32;
const MAX_CIPHERS: u32 = u16::MAX as u32 - 1;
const MAX_COMPRESSION: u32 = u8::MAX as u32;

// How much may stand behind a field, from the last field to the first. Between the ends of these ranges every
// length is possible, except where the code says more.
/// Behind the compression methods: nothing, or a block of extensions with its length.
const MAX_AFTER_COMPRESSION: u32 = 2 + u16::MAX as u32;
/// Behind the cipher suites: the compression methods and what follows them.
const AFTER_CIPHERS: (u32, u32) = (1 + 1, 1 + MAX_COMPRESSION + MAX_AFTER_COMPRESSION);
/// Behind the session id.
const AFTER_SESSION_ID: (u32, u32) = (2 + 2 + AFTER_CIPHERS.0, 2 + MAX_CIPHERS + AFTER_CIPHERS.1);
/// The body of the message.
const BODY: (u32, u32) = (
    VERSION_AND_RANDOM + 1 + AFTER_SESSION_ID.0,
    VERSION_AND_RANDOM + 1 + MAX_SESSION_ID + AFTER_SESSION_ID.1,
);

/// Where in the message stands what a [`ClientHello`](super::ClientHello) tells of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// The extension server_name was there (with or without a host_name).
    pub(super) has_server_name: bool,
    pub(super) host_name: Option<Span>,
    /// The entries of ALPN's list, without its length.
    pub(super) protocols: Option<Span>,
    /// The entries of supported_versions' list, without its length.
    pub(super) versions: Option<Span>,
}

#[derive(Clone, Debug)]
pub(super) struct Grammar {
    /// Offset in the message.
    at: u32,
    /// Opaque bytes to pass over before `field` begins.
    skip: u32,
    field: Field,
    /// The value of `field` so far, and how many of its bytes are missing.
    number: u32,
    missing: u32,
    /// Where the message ends, as soon as that is known.
    end: u32,
    /// Where the current extension ends.
    extension_end: u32,
    /// In the list of names, one was of a type that does not exist.
    is_behind_other_name: bool,
    /// The least length of the message.
    least: u32,
    found: Found,
    progress: Progress,
}

/// The number that comes next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    MessageType,
    MessageLength,
    SessionIdLength,
    CiphersLength,
    CompressionLength,
    ExtensionsLength,
    ExtensionType,
    ExtensionLength(Extension),
    NamesLength,
    NameType,
    HostNameLength,
    OtherNameLength,
    ProtocolsLength,
    ProtocolLength,
    VersionsLength,
    /// No number: the message ends here.
    End,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Extension {
    Other,
    /// RFC 7301.
    Protocols,
    /// RFC 6066 §3.
    ServerName,
    /// RFC 8446 §4.2.1.
    Versions,
}

impl Grammar {
    pub(super) fn new() -> Self {
        Self {
            at: 0,
            skip: 0,
            field: Field::MessageType,
            number: 0,
            missing: Field::MessageType.width(),
            end: 0,
            extension_end: 0,
            is_behind_other_name: false,
            least: HEADER + BODY.0,
            found: Found::default(),
            progress: Progress::NeedMore,
        }
    }

    /// Takes the next bytes of the message; returns how many were needed.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while self.progress == Progress::NeedMore {
            let [byte, after @ ..] = rest else { break };
            if self.skip > 0 {
                let skipped = rest.len().min(self.skip as usize);
                self.skip -= skipped as u32;
                self.at += skipped as u32;
                rest = rest.get(skipped..).unwrap_or_default();
            } else if let Some(behind) = self.step_whole(rest) {
                rest = behind;
            } else {
                rest = after;
                self.step(*byte);
            }
            if self.field == Field::End && self.skip == 0 {
                self.progress = Progress::Done;
            }
        }
        bytes.len() - rest.len()
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// How many bytes of the message were read.
    pub(super) fn position(&self) -> usize {
        self.at as usize
    }

    /// How long the message is at least, by what is known of its length.
    pub(super) fn least_length(&self) -> usize {
        self.least.max(self.at) as usize
    }

    pub(super) fn found(&self) -> Found {
        self.found
    }

    /// Takes a number of two bytes at once, if both are there and it fits: then its first byte did, too. Gives what is behind it.
    fn step_whole<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        // `missing` says that none of it was read.
        if self.field.width() != 2 || self.missing != 2 {
            return None;
        }
        let (&[high, low], behind) = bytes.split_first_chunk()?;
        let value = u32::from(high) << 8 | u32::from(low);
        let (at, missing) = (self.at, self.missing);
        (self.at, self.missing) = (at + 2, 0);
        if !self.is_possible(self.field, value, value) {
            // Which byte it was, the slower way finds out.
            (self.at, self.missing) = (at, missing);
            return None;
        }
        self.field = self.take(value);
        self.missing = self.field.width();
        Some(behind)
    }

    fn step(&mut self, byte: u8) {
        self.at += 1;
        self.missing -= 1;
        self.number = self.number << 8 | u32::from(byte);
        let low = self.number << (8 * self.missing);
        let high = low | ((1 << (8 * self.missing)) - 1);
        if self.field == Field::MessageLength {
            self.least = HEADER + low.max(BODY.0);
        }
        if !self.is_possible(self.field, low, high) {
            self.progress = Progress::Invalid;
        } else if self.missing == 0 {
            let value = self.number;
            self.number = 0;
            self.field = self.take(value);
            self.missing = self.field.width();
        }
    }

    /// Whether a value of `low..=high` fits the field in hand.
    fn is_possible(&self, field: Field, low: u32, high: u32) -> bool {
        let range = Range { low, high };
        // What the enclosing vectors have left behind this number.
        let behind = self.at + self.missing;
        let message = self.end.saturating_sub(behind);
        let extension = self.extension_end.saturating_sub(behind);
        match field {
            Field::MessageType => range.has(CLIENT_HELLO),
            Field::MessageLength => range.within(BODY.0, BODY.1).is_some(),
            Field::SessionIdLength => range
                .within(0, MAX_SESSION_ID)
                .and_then(|range| range.leaving(message, AFTER_SESSION_ID))
                .is_some(),
            Field::CiphersLength => range
                .within(2, MAX_CIPHERS)
                .and_then(|range| range.leaving(message, AFTER_CIPHERS))
                .is_some_and(Range::has_even),
            Field::CompressionLength => {
                let after = message.wrapping_sub(low);
                low >= 1 && (after == 0 || after == 2 || (2 + 4..=MAX_AFTER_COMPRESSION).contains(&after))
            }
            Field::ExtensionsLength => range.has(message),
            Field::ExtensionType => self.missing > 0 || self.is_possible_extension(low, message),
            Field::ExtensionLength(extension) => extension.may_have(range, message),
            Field::NamesLength | Field::ProtocolsLength | Field::VersionsLength => range.has(extension),
            Field::NameType | Field::HostNameLength if self.is_behind_other_name => true,
            Field::NameType => low != HOST_NAME || (self.found.host_name.is_none() && extension > 2),
            Field::HostNameLength => range.within(1, extension).is_some(),
            Field::OtherNameLength => true,
            Field::ProtocolLength => low >= 1 && (low == extension || low + 2 <= extension),
            Field::End => false,
        }
    }

    /// Whether an extension of this type may stand here, with so much behind the type.
    fn is_possible_extension(&self, number: u32, message: u32) -> bool {
        let extension = Extension::of(number);
        let is_repeated = match extension {
            Extension::Other => false,
            Extension::Protocols => self.found.protocols.is_some(),
            Extension::ServerName => self.found.has_server_name,
            Extension::Versions => self.found.versions.is_some(),
        };
        let any = Range { low: 0, high: u32::from(u16::MAX) };
        !is_repeated && extension.may_have(any, message.saturating_sub(2))
    }

    /// Acts on a complete number that fits; returns the next one.
    fn take(&mut self, value: u32) -> Field {
        let list = Span { start: self.at, end: self.at.saturating_add(value) };
        match self.field {
            Field::MessageType => Field::MessageLength,
            Field::MessageLength => {
                self.end = list.end;
                self.skip = VERSION_AND_RANDOM;
                Field::SessionIdLength
            }
            Field::SessionIdLength => self.skip_to(value, Field::CiphersLength),
            Field::CiphersLength => self.skip_to(value, Field::CompressionLength),
            Field::CompressionLength if list.end == self.end => self.skip_to(value, Field::End),
            Field::CompressionLength => self.skip_to(value, Field::ExtensionsLength),
            Field::ExtensionsLength if value == 0 => Field::End,
            Field::ExtensionsLength => Field::ExtensionType,
            Field::ExtensionType => Field::ExtensionLength(Extension::of(value)),
            Field::ExtensionLength(extension) => {
                self.extension_end = list.end;
                match extension {
                    Extension::Other => self.skip_to(value, self.after_extension()),
                    Extension::Protocols => Field::ProtocolsLength,
                    Extension::ServerName => {
                        self.found.has_server_name = true;
                        Field::NamesLength
                    }
                    Extension::Versions => Field::VersionsLength,
                }
            }
            Field::NamesLength => Field::NameType,
            // No type but host_name exists. RFC 6066 gives their names a length: some servers look behind it (seen: Go's), and a name
            // there must not be hidden from the routes. Others look no further: what does not fit there ends the list, and no hello.
            Field::NameType if self.extension_end.saturating_sub(self.at) < 2 => self.skip_names(),
            Field::NameType if value == HOST_NAME && self.found.host_name.is_none() => Field::HostNameLength,
            Field::NameType => {
                self.is_behind_other_name = true;
                Field::OtherNameLength
            }
            Field::OtherNameLength | Field::HostNameLength if list.end > self.extension_end => {
                self.skip_names()
            }
            Field::OtherNameLength => self.skip_to(value, self.after_entry(list, Field::NameType)),
            Field::HostNameLength => {
                self.found.host_name = Some(list);
                self.skip_to(value, self.after_entry(list, Field::NameType))
            }
            Field::ProtocolsLength => {
                self.found.protocols = Some(list);
                Field::ProtocolLength
            }
            Field::ProtocolLength => self.skip_to(value, self.after_entry(list, Field::ProtocolLength)),
            Field::VersionsLength => {
                self.found.versions = Some(list);
                self.skip_to(value, self.after_extension())
            }
            Field::End => Field::End,
        }
    }

    fn skip_to(&mut self, length: u32, next: Field) -> Field {
        self.skip = length;
        next
    }

    /// Passes over what is left of the list of names.
    fn skip_names(&mut self) -> Field {
        self.skip_to(self.extension_end.saturating_sub(self.at), self.after_extension())
    }

    fn after_entry(&self, entry: Span, next: Field) -> Field {
        if entry.end == self.extension_end {
            self.after_extension()
        } else {
            next
        }
    }

    fn after_extension(&self) -> Field {
        if self.extension_end == self.end {
            Field::End
        } else {
            Field::ExtensionType
        }
    }
}

impl Field {
    /// Bytes of the number.
    fn width(self) -> u32 {
        match self {
            Self::End => 0,
            Self::MessageType | Self::SessionIdLength | Self::CompressionLength | Self::NameType => 1,
            Self::ProtocolLength | Self::VersionsLength => 1,
            Self::CiphersLength | Self::ExtensionsLength | Self::ExtensionType => 2,
            Self::ExtensionLength(_) | Self::NamesLength => 2,
            Self::HostNameLength | Self::OtherNameLength => 2,
            Self::ProtocolsLength => 2,
            Self::MessageLength => 3,
        }
    }
}

impl Extension {
    fn of(number: u32) -> Self {
        match number {
            0 => Self::ServerName,
            16 => Self::Protocols,
            43 => Self::Versions,
            _ => Self::Other,
        }
    }

    /// Whether a length of `range` leads from here, with `message` bytes left, to the end of the message or to
    /// another extension, which has 4 bytes at least.
    fn may_have(self, range: Range, message: u32) -> bool {
        let own = match self {
            Self::Other => range.within(0, message),
            // A list of one entry at least: a byte with its length, a type, a version.
            Self::Protocols => range.within(2 + 2, message),
            Self::ServerName => range.within(2 + 1, message),
            Self::Versions => range.within(1 + 2, message.min(1 + 254)),
        };
        let Some(own) = own else { return false };
        let before_another = own.within(0, message.saturating_sub(4));
        match self {
            Self::Versions => {
                own.has(message) && message % 2 == 1 || before_another.is_some_and(Range::has_odd)
            }
            _ => own.has(message) || before_another.is_some_and(|range| range.low + 4 <= message),
        }
    }
}

/// The values that a number can still take; never empty.
#[derive(Clone, Copy)]
struct Range {
    low: u32,
    high: u32,
}

impl Range {
    fn has(self, value: u32) -> bool {
        (self.low..=self.high).contains(&value)
    }

    fn within(self, least: u32, most: u32) -> Option<Self> {
        let (low, high) = (self.low.max(least), self.high.min(most));
        (low <= high).then_some(Self { low, high })
    }

    /// Those that leave, of `whole`, an amount between these two.
    fn leaving(self, whole: u32, (least, most): (u32, u32)) -> Option<Self> {
        self.within(whole.saturating_sub(most), whole.checked_sub(least)?)
    }

    fn has_even(self) -> bool {
        self.low % 2 == 0 || self.low < self.high
    }

    fn has_odd(self) -> bool {
        self.low % 2 == 1 || self.low < self.high
    }
}
