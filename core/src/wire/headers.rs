//! The payload of HEADERS (RFC 9113 §6.2): where the fragment of the header block lies between padding and priority.

use super::frame::{flag, Head};
use core::ops::Range;

/// The bytes of (deprecated) priority in front of the fragment when the flag says so.
const PRIORITY_LEN: usize = 5;

/// Where the header block fragment lies in the payload of this HEADERS frame, or `None` if the padding or the
/// priority do not fit into it (RFC 9113 §6.2: PROTOCOL_ERROR; §4.2: FRAME_SIZE_ERROR).
///
/// `payload` must be the whole payload that `head` announces.
pub fn fragment(head: &Head, payload: &[u8]) -> Option<Range<usize>> {
    let mut start = 0;
    let mut end = payload.len();
    if head.has(flag::PADDED) {
        let padding = usize::from(*payload.first()?);
        start += 1;
        end = end.checked_sub(padding)?;
    }
    if head.has(flag::PRIORITY) {
        start += PRIORITY_LEN;
    }
    (start <= end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::Kind;

    fn cut(flags: u8, payload: &[u8]) -> Option<&[u8]> {
        let head = Head::new(payload.len() as u32, Kind::HEADERS, flags, 1);
        fragment(&head, payload).map(|range| &payload[range])
    }

    #[test]
    fn padding_and_priority_are_cut_off() {
        assert_eq!(cut(0, b"block"), Some(&b"block"[..]));
        assert_eq!(cut(flag::PADDED, b"\x02block\0\0"), Some(&b"block"[..]));
        assert_eq!(cut(flag::PRIORITY, b"\0\0\0\0\x10block"), Some(&b"block"[..]));
        assert_eq!(cut(flag::PADDED | flag::PRIORITY, b"\x01\0\0\0\0\x10block\0"), Some(&b"block"[..]));
        assert_eq!(cut(flag::PADDED, b"\x05block"), Some(&b""[..]));
    }

    #[test]
    fn what_does_not_fit_is_none() {
        assert_eq!(cut(flag::PADDED, b""), None);
        assert_eq!(cut(flag::PADDED, b"\x06block"), None);
        assert_eq!(cut(flag::PRIORITY, b"1234"), None);
        assert_eq!(cut(flag::PADDED | flag::PRIORITY, b"\x01\0\0\0\0\x10"), None);
    }
}
