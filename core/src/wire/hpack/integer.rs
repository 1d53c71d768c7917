//! Integers with a prefix of N bits (RFC 7541 §5.1).

use super::DecodeError;

/// Continuation octets after the prefix that are read at most: enough for every `u32`.
///
/// HPACK names table indices, string lengths and table sizes; SETTINGS values have 32 bits, so no
/// meaningful integer is larger. Zero-padded forms within these octets are read, as the RFC allows.
const MAX_CONTINUATION: u32 = 5;

/// Reads the integer whose prefix is the low `prefix` bits of `first` and takes its continuation off
/// `rest`.
///
/// `prefix` is 4 to 7. Fails with [`DecodeError::Truncated`] where `rest` ends too soon, and with
/// [`DecodeError::IntegerOverflow`] past five continuation octets or `u32::MAX`.
#[inline]
pub(super) fn decode(first: u8, prefix: u32, rest: &mut &[u8]) -> Result<usize, DecodeError> {
    let mask = (1u8 << prefix) - 1;
    let value = first & mask;
    if value < mask {
        return Ok(usize::from(value));
    }
    decode_continuation(u64::from(mask), rest)
}

fn decode_continuation(mut value: u64, rest: &mut &[u8]) -> Result<usize, DecodeError> {
    for position in 0..MAX_CONTINUATION {
        let (&octet, tail) = rest.split_first().ok_or(DecodeError::Truncated)?;
        *rest = tail;
        // At most 127 + 5 x 7 bits: far inside 64.
        value += u64::from(octet & 0x7f) << (7 * position);
        if octet & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| DecodeError::IntegerOverflow)?;
            return usize::try_from(value).map_err(|_| DecodeError::IntegerOverflow);
        }
    }
    Err(DecodeError::IntegerOverflow)
}

/// Appends `value` with a prefix of `prefix` bits (4 to 7), below the bits of `pattern`.
pub(super) fn encode(out: &mut Vec<u8>, pattern: u8, prefix: u32, value: usize) {
    let mask = (1u8 << prefix) - 1;
    match u8::try_from(value) {
        Ok(small) if small < mask => out.push(pattern | small),
        _ => {
            out.push(pattern | mask);
            let mut rest = value - usize::from(mask);
            while rest >= 0x80 {
                out.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], prefix: u32) -> Result<(usize, usize), DecodeError> {
        let mut rest = &bytes[1..];
        decode(bytes[0], prefix, &mut rest).map(|value| (value, rest.len()))
    }

    #[test]
    fn rfc_7541_c_1() {
        for (value, prefix, bytes) in
            [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 7, &[0x2a]), (31, 5, &[0x1f, 0x00])]
        {
            let mut out = Vec::new();
            encode(&mut out, 0, prefix, value);
            assert_eq!(out, bytes);
            assert_eq!(read(bytes, prefix), Ok((value, 0)));
        }
    }

    #[test]
    fn every_prefix_around_its_boundary() {
        for prefix in 4..=7 {
            let boundary = (1usize << prefix) - 1;
            for value in [0, boundary - 1, boundary, boundary + 1, boundary + 127, boundary + 128, 1 << 20] {
                let mut out = Vec::new();
                encode(&mut out, 0, prefix, value);
                out.extend([0xaa, 0xbb]);
                assert_eq!(read(&out, prefix), Ok((value, 2)), "{value} with {prefix} bits");
            }
        }
    }

    #[test]
    fn the_bits_above_the_prefix_are_no_part_of_it() {
        assert_eq!(read(&[0xea], 5), Ok((10, 0)));
        let mut out = Vec::new();
        encode(&mut out, 0x20, 5, 1337);
        assert_eq!(out, [0x3f, 0x9a, 0x0a]);
    }

    #[test]
    fn bounded_at_u32_and_five_continuations() {
        let mut out = Vec::new();
        encode(&mut out, 0, 7, u32::MAX as usize);
        assert_eq!(out.len(), 6);
        assert_eq!(read(&out, 7), Ok((u32::MAX as usize, 0)));
        // One more: 127 + 0xffff_ff81.
        assert_eq!(read(&[0x7f, 0x81, 0xff, 0xff, 0xff, 0x0f], 7), Err(DecodeError::IntegerOverflow));
        assert_eq!(read(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x00], 7), Ok((127, 0)));
        assert_eq!(read(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 7), Err(DecodeError::IntegerOverflow));
        assert_eq!(read(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 7), Err(DecodeError::IntegerOverflow));
    }

    #[test]
    fn truncated_after_every_octet() {
        for cut in 1..4 {
            assert_eq!(read(&[0x1f, 0x9a, 0x8a, 0x80][..cut], 5), Err(DecodeError::Truncated));
        }
    }
}
