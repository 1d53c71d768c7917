//! The first message of a PostgreSQL client, which has no type byte: a length and a code, both 32 bits
//! (PostgreSQL documentation, "Message Formats").

use super::progress::Progress;

/// SSLRequest: a code that no protocol version has.
const SSL_REQUEST: u32 = 80_877_103;
/// GSSENCRequest.
const GSSENC_REQUEST: u32 = 80_877_104;
/// CancelRequest; its key has four bytes up to protocol 3.0 and up to 256 from 3.2 on.
const CANCEL_REQUEST: u32 = 80_877_102;
/// What PostgreSQL accepts as the length of a first message (MAX_STARTUP_PACKET_LENGTH).
const MAX_STARTUP: u32 = 10_000;

/// Whether these are the first bytes of a PostgreSQL client; settled after at most eight.
pub(crate) fn recognise(prefix: &[u8]) -> Progress {
    // The length fits into two bytes, so the first two are zero: most other protocols are out here.
    if prefix.iter().take(2).any(|byte| *byte != 0) {
        return Progress::Invalid;
    }
    let Some((length, rest)) = prefix.split_first_chunk::<4>() else { return Progress::NeedMore };
    let length = u32::from_be_bytes(*length);
    if !(8..=MAX_STARTUP).contains(&length) {
        return Progress::Invalid;
    }
    let fits = |code: u32| match code {
        SSL_REQUEST | GSSENC_REQUEST => length == 8,
        CANCEL_REQUEST => (16..=12 + 256).contains(&length),
        code => code >> 16 == 3 && length > 8,
    };
    match rest.first_chunk::<4>() {
        Some(code) if fits(u32::from_be_bytes(*code)) => Progress::Done,
        Some(_) => Progress::Invalid,
        // 3.x starts with 0x0003, the requests with 0x04d2.
        None => match rest {
            [] | [0x00 | 0x04] | [0x00, 0x03, ..] | [0x04, 0xd2, ..] => Progress::NeedMore,
            _ => Progress::Invalid,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32, code: u32) -> Vec<u8> {
        [length.to_be_bytes(), code.to_be_bytes()].concat()
    }

    #[test]
    fn first_messages_are_recognised_at_the_eighth_byte() {
        for (length, code) in
            [(8, SSL_REQUEST), (8, GSSENC_REQUEST), (16, CANCEL_REQUEST), (41, 3 << 16), (41, (3 << 16) + 2)]
        {
            let bytes = message(length, code);
            for n in 0..8 {
                assert_eq!(recognise(&bytes[..n]), Progress::NeedMore, "{code:#x} after {n}");
            }
            assert_eq!(recognise(&bytes), Progress::Done, "{code:#x}");
        }
    }

    #[test]
    fn others_are_not() {
        for (length, code) in
            [(9, SSL_REQUEST), (8, 3 << 16), (41, 2 << 16), (7, 3 << 16), (10_001, 3 << 16), (8, 0)]
        {
            assert_eq!(recognise(&message(length, code)), Progress::Invalid, "{length} {code:#x}");
        }
        assert_eq!(recognise(b"G"), Progress::Invalid);
        assert_eq!(recognise(b"\0\0\x10\0\x05"), Progress::Invalid);
    }
}
