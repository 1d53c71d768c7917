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
    let (&[first, ..], &[.., last]) = (name, name) else { return None };
    let run = BY_NAME[slot(name.len(), first, last)];
    let position = usize::from(run.first);
    let entries = ENTRIES.get(position..position + usize::from(run.len))?;
    if entries.first()?.0 != name {
        return None;
    }
    let full = entries.iter().position(|(_, entry_value)| *entry_value == value);
    Some(full.map_or(Match::Name(position + 1), |at| Match::Full(position + at + 1)))
}

/// The entries of one name, which lie side by side; of length 0 where there is none.
#[derive(Clone, Copy)]
struct Run {
    first: u8,
    len: u8,
}

/// By [`slot`]: one name at most is compared for each search.
static BY_NAME: [Run; 256] = by_name();

/// Found by trial: no two names of the table have the same slot ([`by_name`] would not compile).
const fn slot(len: usize, first: u8, last: u8) -> usize {
    let key = (len as u32 & 0xff) | (last as u32) << 8 | (first as u32) << 16;
    (key.wrapping_mul(0x69ed_01c7) >> 24) as usize
}

const fn by_name() -> [Run; 256] {
    let mut runs = [Run { first: 0, len: 0 }; 256];
    let mut position = 0;
    while position < LEN {
        let name = TABLE[position].0;
        let at = slot(name.len(), name[0], name[name.len() - 1]);
        let first = if runs[at].len == 0 { position } else { runs[at].first as usize };
        assert!(is_same(TABLE[first].0, name), "two names have the same slot");
        assert!(first + runs[at].len as usize == position, "the entries of a name do not lie side by side");
        runs[at] = Run { first: first as u8, len: runs[at].len + 1 };
        position += 1;
    }
    runs
}

/// `==` of slices is not `const`.
const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
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
