//! What a complete ClientHello says.

use super::grammar::Found;
use crate::wire::span::Span;

/// A complete and well-formed ClientHello, as a view of its bytes.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    legacy_version: u16,
    server_name: Option<&'a str>,
    protocols: &'a [u8],
    versions: Option<&'a [u8]>,
}

impl<'a> ClientHello<'a> {
    /// `message` is the whole handshake message, with its header, and `found` was found in it.
    pub(super) fn new(message: &'a [u8], found: Found) -> Self {
        let of = |span: Option<Span>| span.and_then(|span| span.of(message));
        Self {
            // Behind type and length of the handshake message.
            legacy_version: message.get(4..6).map_or(0, number),
            server_name: of(found.host_name).and_then(readable),
            protocols: of(found.protocols).unwrap_or_default(),
            versions: of(found.versions),
        }
    }

    /// The host_name of the extension server_name (RFC 6066 §3), as sent: 1 to 65,535 bytes of visible ASCII,
    /// compared without regard to case. A trailing dot, which the RFC forbids, is not taken off.
    ///
    /// `None` if the client named no host, and also if it sent a name with other bytes (NUL, spaces, raw
    /// UTF-8): such a hello is TLS all the same, but no server is known by that name.
    /// A host_name behind an entry of another type (none is defined) is found by the length of that entry.
    #[must_use]
    pub fn sni(&self) -> Option<&'a str> {
        self.server_name
    }

    /// The protocol names of ALPN (RFC 7301) in the client's order of preference, each of 1 to 255 bytes, GREASE
    /// (RFC 8701) included; none if the client sent no such extension.
    #[must_use]
    pub fn alpn(&self) -> Alpn<'a> {
        Alpn { rest: self.protocols }
    }

    /// The version field of the message. TLS 1.3 clients write 0x0303 here and mean
    /// [`supported_versions`](Self::supported_versions).
    #[must_use]
    pub fn legacy_version(&self) -> u16 {
        self.legacy_version
    }

    /// The entries of supported_versions (RFC 8446 §4.2.1) in the client's order, as sent: GREASE and drafts are
    /// not filtered out. None if the client sent no such extension, as clients before TLS 1.3 do.
    #[must_use]
    pub fn supported_versions(&self) -> SupportedVersions<'a> {
        SupportedVersions { rest: self.versions.unwrap_or_default() }
    }

    /// The highest version of SSL 3.0 to TLS 1.x that the client offers: 0x0301 is TLS 1.0, 0x0304 TLS 1.3.
    ///
    /// With supported_versions, the highest entry of the form 0x03xx: GREASE, drafts (0x7fxx) and DTLS are no
    /// such versions. It is 0, which no version is, if there is no such entry, since the legacy field does not
    /// count then (RFC 8446 §4.2.1). Without the extension, the legacy version, but at most TLS 1.2 (the same
    /// section).
    #[must_use]
    pub fn max_version(&self) -> u16 {
        match self.versions {
            None => self.legacy_version.min(0x0303),
            Some(_) => self.supported_versions().filter(|version| version >> 8 == 3).max().unwrap_or(0),
        }
    }

    /// A copy that outlives the opening, in one allocation.
    #[must_use]
    pub fn into_owned(self) -> OwnedHello {
        let name = self.server_name.unwrap_or_default();
        let versions = self.versions.unwrap_or_default();
        OwnedHello {
            bytes: [name.as_bytes(), self.protocols, versions].concat().into(),
            // Lengths of two bytes each bound them.
            name_end: name.len() as u32,
            protocols_end: (name.len() + self.protocols.len()) as u32,
            has_versions: self.versions.is_some(),
            legacy_version: self.legacy_version,
        }
    }
}

/// What routing needs of a [`ClientHello`], for after the opening is gone.
///
/// It holds the server name and the two lists, and so no more bytes than the hello had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedHello {
    /// Server name (empty: none), ALPN's entries, the entries of supported_versions.
    bytes: Box<[u8]>,
    name_end: u32,
    protocols_end: u32,
    has_versions: bool,
    legacy_version: u16,
}

impl OwnedHello {
    /// Bytes of memory that it holds.
    pub(crate) const fn held(&self) -> usize {
        self.bytes.len()
    }

    /// The view that this was made of.
    #[must_use]
    pub fn as_hello(&self) -> ClientHello<'_> {
        ClientHello {
            legacy_version: self.legacy_version,
            server_name: self.name_bytes().and_then(readable),
            protocols: self.protocols(),
            versions: self.versions(),
        }
    }

    /// The bytes of [`sni`](Self::sni), which were found to be text when this was made.
    pub(crate) fn name_bytes(&self) -> Option<&[u8]> {
        self.bytes.get(..self.name_end as usize).filter(|name| !name.is_empty())
    }

    fn protocols(&self) -> &[u8] {
        self.bytes.get(self.name_end as usize..self.protocols_end as usize).unwrap_or_default()
    }

    fn versions(&self) -> Option<&[u8]> {
        self.has_versions.then(|| self.bytes.get(self.protocols_end as usize..).unwrap_or_default())
    }

    /// See [`ClientHello::sni`].
    #[must_use]
    pub fn sni(&self) -> Option<&str> {
        self.name_bytes().and_then(readable)
    }

    /// See [`ClientHello::alpn`].
    #[must_use]
    pub fn alpn(&self) -> Alpn<'_> {
        Alpn { rest: self.protocols() }
    }

    /// See [`ClientHello::legacy_version`].
    #[must_use]
    pub fn legacy_version(&self) -> u16 {
        self.legacy_version
    }

    /// See [`ClientHello::supported_versions`].
    #[must_use]
    pub fn supported_versions(&self) -> SupportedVersions<'_> {
        SupportedVersions { rest: self.versions().unwrap_or_default() }
    }

    /// See [`ClientHello::max_version`].
    #[must_use]
    pub fn max_version(&self) -> u16 {
        self.as_hello().max_version()
    }
}

impl From<ClientHello<'_>> for OwnedHello {
    fn from(hello: ClientHello<'_>) -> Self {
        hello.into_owned()
    }
}

/// The names of [`ClientHello::alpn`].
#[derive(Clone, Debug)]
pub struct Alpn<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Alpn<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_first()?;
        let end = usize::from(*length);
        let name = rest.get(..end)?;
        self.rest = rest.get(end..)?;
        Some(name)
    }
}

impl std::iter::FusedIterator for Alpn<'_> {}

/// The entries of [`ClientHello::supported_versions`].
#[derive(Clone, Debug)]
pub struct SupportedVersions<'a> {
    rest: &'a [u8],
}

impl Iterator for SupportedVersions<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<Self::Item> {
        let version = self.rest.get(..2)?;
        self.rest = self.rest.get(2..)?;
        Some(number(version))
    }
}

impl std::iter::FusedIterator for SupportedVersions<'_> {}

/// Whether this is one of the values that clients throw in to keep servers tolerant (RFC 8701): 0x0a0a, 0x1a1a
/// and so on up to 0xfafa.
#[must_use]
pub const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// A name that can be compared and logged as it stands.
fn readable(name: &[u8]) -> Option<&str> {
    let is_readable = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    if is_readable {
        std::str::from_utf8(name).ok()
    } else {
        None
    }
}

fn number(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u16::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello<'a>(legacy_version: u16, versions: Option<&'a [u8]>) -> ClientHello<'a> {
        ClientHello { legacy_version, server_name: None, protocols: &[], versions }
    }

    #[test]
    fn the_highest_version() {
        for (legacy, versions, highest) in [
            (0x0301, None, 0x0301),
            (0x0303, None, 0x0303),
            (0x0304, None, 0x0303),
            (0x0303, Some(&[3, 4, 3, 3][..]), 0x0304),
            (0x0303, Some(&[3, 3, 3, 4]), 0x0304),
            (0x0303, Some(&[0xfa, 0xfa, 3, 3]), 0x0303),
            (0x0303, Some(&[0x7f, 0x1c, 0xfe, 0xfd, 3, 2]), 0x0302),
            (0x0303, Some(&[0x0a, 0x0a]), 0),
        ] {
            let view = hello(legacy, versions);
            assert_eq!(view.max_version(), highest, "{legacy:#06x} {versions:02x?}");
            assert_eq!(view.into_owned().max_version(), highest, "owned {legacy:#06x} {versions:02x?}");
        }
    }

    #[test]
    fn versions_are_not_filtered() {
        let view = hello(0x0303, Some(&[0x1a, 0x1a, 3, 4]));
        assert_eq!(view.supported_versions().collect::<Vec<_>>(), [0x1a1a, 0x0304]);
    }

    #[test]
    fn grease_values() {
        let grease: Vec<u16> = (0..=u16::MAX).filter(|&value| is_grease(value)).collect();
        let expected: Vec<u16> = (0..16).map(|n| n * 0x1010 + 0x0a0a).collect();
        assert_eq!(grease, expected);
    }

    #[test]
    fn an_owned_hello_says_the_same() {
        let view = ClientHello {
            legacy_version: 0x0303,
            server_name: Some("a.example"),
            protocols: b"\x02h2\x08http/1.1",
            versions: Some(&[3, 4]),
        };
        let owned = view.into_owned();
        assert_eq!(owned.sni(), Some("a.example"));
        assert_eq!(owned.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
        assert_eq!(owned.supported_versions().collect::<Vec<_>>(), [0x0304]);
        assert_eq!((owned.legacy_version(), owned.max_version()), (0x0303, 0x0304));
        assert_eq!(owned.held(), b"a.example\x02h2\x08http/1.1\x03\x04".len());
        let nothing = hello(0x0302, None).into_owned();
        assert_eq!((nothing.sni(), nothing.alpn().count(), nothing.max_version()), (None, 0, 0x0302));
    }

    #[test]
    fn names_that_nothing_can_be_known_by() {
        assert_eq!(readable(b"a.example."), Some("a.example."));
        for name in [&b""[..], b"a\0b", b"a b", b"\xc3\xa4.example", b"a\x7f", b"\ta"] {
            assert_eq!(readable(name), None, "{name:?}");
        }
    }
}
