//! The greeting of a SOCKS 5 client (RFC 1928 §3): version, number of methods, methods.

use super::progress::Progress;

/// Whether these are the first bytes of a SOCKS 5 client; settled with the last of its methods.
pub(crate) fn recognise(prefix: &[u8]) -> Progress {
    match prefix {
        [] | [5] => Progress::NeedMore,
        [5, 0, ..] => Progress::Invalid,
        // 0xff is the server's "no acceptable methods", not one that a client offers.
        [5, count, methods @ ..] if methods.iter().take(usize::from(*count)).any(|m| *m == 0xff) => {
            Progress::Invalid
        }
        [5, count, methods @ ..] if methods.len() >= usize::from(*count) => Progress::Done,
        [5, ..] => Progress::NeedMore,
        _ => Progress::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bytes_are_enough() {
        assert_eq!(recognise(b"\x05"), Progress::NeedMore);
        assert_eq!(recognise(b"\x05\x01"), Progress::NeedMore);
        assert_eq!(recognise(b"\x05\x01\x00"), Progress::Done);
        assert_eq!(recognise(b"\x05\x02\x00"), Progress::NeedMore);
        assert_eq!(recognise(b"\x05\x02\x00\x02junk"), Progress::Done);
        assert_eq!(recognise(b"\x05\x00"), Progress::Invalid);
        assert_eq!(recognise(b"\x05\x02\xff"), Progress::Invalid);
        assert_eq!(recognise(b"\x04\x01"), Progress::Invalid);
    }
}
