//! The static table (RFC 7541 appendix A).

/// Entries of the static table; the dynamic table begins at the index after it.
pub(super) const LEN: usize = TABLE.len();

/// Index 1 is the first entry.
#[rustfmt::skip]
const TABLE: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

static ENTRIES: [(&[u8], &[u8]); LEN] = TABLE;

/// What the static table knows of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// Name and value are the entry at this index.
    Full(usize),
    /// The name is that of the entry at this index, the first of its name.
    Name(usize),
}

/// Name and value at `index`, which counts from 1.
#[inline]
pub(super) fn get(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    ENTRIES.get(index.checked_sub(1)?).copied()
}

/// Finds the best match for a field. Names are compared as they are: HTTP/2 writes them in lower case.
pub(super) fn find(name: &[u8], value: &[u8]) -> Option<Match> {
    let (from, to) = (*BY_LENGTH.starts.get(name.len())?, *BY_LENGTH.starts.get(name.len() + 1)?);
    let mut first = None;
    for &position in &BY_LENGTH.positions[usize::from(from)..usize::from(to)] {
        let (entry_name, entry_value) = ENTRIES[usize::from(position)];
        if entry_name == name {
            let index = usize::from(position) + 1;
            if entry_value == value {
                return Some(Match::Full(index));
            }
            first = first.or(Some(Match::Name(index)));
        }
    }
    first
}

const LONGEST: usize = 27;

/// The positions of the table in the order of the lengths of their names, so that a search compares
/// only names that can be equal.
struct ByLength {
    /// `starts[n]..starts[n + 1]` are the positions of names of `n` bytes.
    starts: [u8; LONGEST + 2],
    positions: [u8; LEN],
}

static BY_LENGTH: ByLength = by_length();

const fn by_length() -> ByLength {
    let mut index = ByLength { starts: [0; LONGEST + 2], positions: [0; LEN] };
    let (mut length, mut used) = (0, 0);
    while length <= LONGEST {
        index.starts[length] = used as u8;
        let mut position = 0;
        while position < LEN {
            if TABLE[position].0.len() == length {
                index.positions[used] = position as u8;
                used += 1;
            }
            position += 1;
        }
        length += 1;
    }
    index.starts[length] = used as u8;
    assert!(used == LEN, "a name is longer than LONGEST");
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_of_the_rfc() {
        assert_eq!(get(0), None);
        assert_eq!(get(1), Some((&b":authority"[..], &b""[..])));
        assert_eq!(get(2), Some((&b":method"[..], &b"GET"[..])));
        assert_eq!(get(16), Some((&b"accept-encoding"[..], &b"gzip, deflate"[..])));
        assert_eq!(get(31), Some((&b"content-type"[..], &b""[..])));
        assert_eq!(get(61), Some((&b"www-authenticate"[..], &b""[..])));
        assert_eq!(get(62), None);
        assert_eq!(get(usize::MAX), None);
    }

    #[test]
    fn every_entry_is_found() {
        for index in 1..=LEN {
            let (name, value) = get(index).unwrap();
            assert_eq!(find(name, value), Some(Match::Full(index)));
            let first = (1..=LEN).find(|&other| get(other).unwrap().0 == name).unwrap();
            assert_eq!(find(name, b"no such value"), Some(Match::Name(first)));
        }
    }

    #[test]
    fn strangers_are_not_found() {
        for name in
            [&b""[..], b"x", b":methoe", b"Accept", b"grpc-timeout", &[b'a'; 27], &[b'a'; 28], &[b'a'; 99]]
        {
            assert_eq!(find(name, b""), None);
        }
    }
}
