//! The Huffman code of string literals (RFC 7541 §5.2, appendix B).
//!
//! The code is canonical: among codes of one length, and from one length to the next, they count
//! upwards in the order of the symbols. So the lengths say everything, and the codes and both decoding
//! tables are computed from them when this crate is compiled.
//!
//! Decoding looks at twelve bits at a time. They hold two whole symbols for most text (the letters,
//! digits and punctuation of headers have five to seven bits), so one look-up yields one or two bytes.
//! Codes of 13 to 30 bits, which text hardly has, are found by their length: in a canonical code the
//! distance from the first code of a length is the distance in the list of symbols.

use super::DecodeError;

/// Bits of the code of each symbol; the last is EOS.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 0x20
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x30
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 0x40
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x50
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 0x60
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xf0
    30, // EOS
];

const EOS: usize = 256;
const LONGEST: usize = 30;
/// Bits that one look-up sees.
const LOOKUP_BITS: u32 = 12;

/// The number of bytes that [`huffman_encode`] appends for `text`.
pub fn huffman_encoded_len(text: &[u8]) -> usize {
    let bits: u64 = text.iter().map(|&byte| u64::from(LENGTHS[usize::from(byte)])).sum();
    // 30 bits a byte: more than the address space only where `text` has a quarter of it.
    usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX)
}

/// Appends `text` in the Huffman code, padded with the most significant bits of EOS to a whole byte.
pub fn huffman_encode(out: &mut Vec<u8>, text: &[u8]) {
    let (mut window, mut held) = (0u64, 0u32);
    for &byte in text {
        let length = u32::from(LENGTHS[usize::from(byte)]);
        // At most 31 bits are held from before, so nothing is shifted out.
        window = window << length | u64::from(CODE.codes[usize::from(byte)]);
        held += length;
        if held >= 32 {
            held -= 32;
            out.extend_from_slice(&((window >> held) as u32).to_be_bytes());
        }
    }
    let padded = held.next_multiple_of(8);
    window = window << (padded - held) | ((1 << (padded - held)) - 1);
    out.extend_from_slice(&((window << (32 - padded)) as u32).to_be_bytes()[..padded as usize / 8]);
}

/// The most bytes that `encoded` bytes can stand for: the shortest codes have five bits.
pub(super) fn decoded_len_bound(encoded: usize) -> usize {
    encoded.saturating_mul(8) / 5
}

/// Decodes a whole string into `output` and says how many bytes it has.
///
/// # Errors
///
/// [`DecodeError::HuffmanEos`] where the string contains EOS; [`DecodeError::HuffmanPadding`] where what
/// follows the last symbol is more than seven bits or not all ones; [`DecodeError::StringTooLong`] where
/// `output` is full: nothing beyond it is decoded. What `output` then contains is of no use.
pub fn huffman_decode(encoded: &[u8], output: &mut [u8]) -> Result<usize, DecodeError> {
    let mut rest = encoded;
    // The next bits of the string, the very next at the top; at least `held` of them are valid, and those
    // below are either zero or the bits that follow.
    let (mut window, mut held) = (0u64, 0u32);
    let mut written = 0;
    loop {
        window |= next_bits(rest) >> held;
        let taken = rest.len().min((63 - held) as usize / 8);
        rest = &rest[taken..];
        held += taken as u32 * 8;

        // Most of a longer string: four look-ups, one write, nothing to check in between. One that finds a long
        // code takes nothing, and so do those after it.
        if held >= 4 * LOOKUP_BITS {
            if let Some(eight) = output.get_mut(written..written + 8) {
                let (mut bytes, mut count) = (0u64, 0);
                for _ in 0..4 {
                    let found = look_up(window);
                    bytes |= u64::from(found.bytes()) << (8 * count);
                    count += found.count();
                    window <<= found.bits();
                    held -= found.bits();
                }
                eight.copy_from_slice(&bytes.to_le_bytes());
                written += count as usize;
            }
        }
        if held < LOOKUP_BITS && rest.is_empty() {
            return decode_end(window, held, output, written);
        }
        while held >= LOOKUP_BITS {
            let found = look_up(window);
            let [first, second] = found.bytes().to_le_bytes();
            let bits = if found.count() == 0 {
                if held < LONGEST as u32 && !rest.is_empty() {
                    break;
                }
                let (symbol, bits) = long_symbol(window | ones_below(held));
                if bits > held {
                    return check_padding(window, held).map(|()| written);
                }
                if symbol == EOS {
                    return Err(DecodeError::HuffmanEos);
                }
                *output.get_mut(written).ok_or(DecodeError::StringTooLong)? = symbol as u8;
                written += 1;
                bits
            } else if let Some(pair) = output.get_mut(written..written + 2) {
                // Where there is no second, what follows overwrites it.
                pair.copy_from_slice(&[first, second]);
                written += found.count() as usize;
                found.bits()
            } else {
                *output.get_mut(written).ok_or(DecodeError::StringTooLong)? = first;
                written += 1;
                found.first_bits()
            };
            window <<= bits;
            held -= bits;
        }
    }
}

/// The first eight bytes as a number, with zeros for those that are missing.
#[inline(always)]
fn next_bits(rest: &[u8]) -> u64 {
    if let Some(chunk) = rest.first_chunk::<8>() {
        return u64::from_be_bytes(*chunk);
    }
    // Overlapping pieces instead of a loop: most strings are short.
    let missing = 64 - 8 * rest.len() as u32;
    match (rest.first_chunk::<4>(), rest.last_chunk::<4>(), rest) {
        (Some(first), Some(last), _) => {
            u64::from(u32::from_be_bytes(*first)) << 32 | u64::from(u32::from_be_bytes(*last)) << missing
        }
        (_, _, [first, .., last]) => {
            u64::from(*first) << 56
                | u64::from(rest[rest.len() / 2]) << (64 - 8 * (rest.len() as u32 / 2 + 1))
                | u64::from(*last) << missing
        }
        (_, _, [only]) => u64::from(*only) << 56,
        _ => 0,
    }
}

#[inline(always)]
fn look_up(window: u64) -> Symbols {
    Symbols(LOOKUP[(window >> (64 - LOOKUP_BITS)) as usize])
}

/// Decodes the last `held` bits, fewer than a look-up needs.
fn decode_end(
    mut window: u64,
    mut held: u32,
    output: &mut [u8],
    mut written: usize,
) -> Result<usize, DecodeError> {
    loop {
        let found = look_up(window | ones_below(held));
        let bits = found.first_bits();
        if found.count() == 0 || bits > held {
            return check_padding(window, held).map(|()| written);
        }
        *output.get_mut(written).ok_or(DecodeError::StringTooLong)? = found.bytes() as u8;
        written += 1;
        window <<= bits;
        held -= bits;
    }
}

/// What is left after the last symbol must be at most seven bits, all ones (RFC 7541 §5.2).
fn check_padding(window: u64, held: u32) -> Result<(), DecodeError> {
    if held > 7 || window | ones_below(held) != u64::MAX {
        return Err(DecodeError::HuffmanPadding);
    }
    Ok(())
}

/// All bits but the top `held`, of which there are fewer than 64.
const fn ones_below(held: u32) -> u64 {
    u64::MAX >> held
}

/// The symbol with a code of more than [`LOOKUP_BITS`] at the top of `window`, and the bits of its code.
fn long_symbol(window: u64) -> (usize, u32) {
    let mut length = LOOKUP_BITS as usize + 1;
    while length < LONGEST {
        let distance = (window >> (64 - length)) as u32 - CODE.first_codes[length];
        if distance < u32::from(CODE.counts[length]) {
            return (symbol_at(length, distance), length as u32);
        }
        length += 1;
    }
    // The code is complete: what is no shorter code is one of the longest.
    let distance = (window >> (64 - LONGEST)) as u32 - CODE.first_codes[LONGEST];
    (symbol_at(LONGEST, distance), LONGEST as u32)
}

fn symbol_at(length: usize, distance: u32) -> usize {
    usize::from(CODE.symbols[usize::from(CODE.offsets[length]) + distance as usize])
}

/// The code, computed from [`LENGTHS`].
struct Code {
    /// By symbol.
    codes: [u32; 257],
    /// By length: the first code, the number of codes, and where their symbols begin in `symbols`.
    first_codes: [u32; LONGEST + 1],
    counts: [u16; LONGEST + 1],
    offsets: [u16; LONGEST + 1],
    /// In the order of their codes.
    symbols: [u16; 257],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut code = Code {
        codes: [0; 257],
        first_codes: [0; LONGEST + 1],
        counts: [0; LONGEST + 1],
        offsets: [0; LONGEST + 1],
        symbols: [0; 257],
    };
    let (mut next, mut used, mut length) = (0u32, 0, 1);
    while length <= LONGEST {
        next <<= 1;
        code.first_codes[length] = next;
        code.offsets[length] = used as u16;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                code.codes[symbol] = next;
                code.symbols[used] = symbol as u16;
                code.counts[length] += 1;
                next += 1;
                used += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    assert!(used == 257 && next == 1 << LONGEST, "the code is complete");
    code
}

/// What [`LOOKUP_BITS`] bits hold: one or two symbols and the bits of their codes. All zero where the first code
/// is longer.
///
/// ```text
///  31      24 23      16 15       8 7     6 5    0
///  | second  | first    | its bits | count | bits |     bits: of all symbols together
/// ```
///
/// `bits` is at the bottom, where the processor shifts by it without any extraction: each look-up waits for the
/// shift of the one before.
#[derive(Clone, Copy)]
struct Symbols(u32);

impl Symbols {
    const NONE: Self = Self(0);

    const fn one(symbol: u8, bits: u32) -> Self {
        Self((symbol as u32) << 16 | bits << 8 | 1 << 6 | bits)
    }

    const fn and(self, symbol: u8, bits: u32) -> Self {
        Self((self.0 | (symbol as u32) << 24) + (1 << 6 | bits))
    }

    /// The first symbol in the low byte, the second or zero in the high one.
    #[inline(always)]
    fn bytes(self) -> u16 {
        (self.0 >> 16) as u16
    }

    #[inline(always)]
    fn first_bits(self) -> u32 {
        self.0 >> 8 & 0xff
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        self.0 & 0x3f
    }

    #[inline(always)]
    fn count(self) -> u32 {
        self.0 >> 6 & 0x3
    }
}

static LOOKUP: [u32; 1 << LOOKUP_BITS] = lookup();

const fn lookup() -> [u32; 1 << LOOKUP_BITS] {
    let mut table = [0; 1 << LOOKUP_BITS];
    let code = code();
    let mut window = 0;
    while window < table.len() {
        let mut found = Symbols::NONE;
        if let Some((first, first_bits)) = short_symbol(&code, window as u32, LOOKUP_BITS) {
            found = Symbols::one(first, first_bits);
            let left = LOOKUP_BITS - first_bits;
            if let Some((second, second_bits)) = short_symbol(&code, window as u32 & ((1 << left) - 1), left)
            {
                found = found.and(second, second_bits);
            }
        }
        table[window] = found.0;
        window += 1;
    }
    table
}

/// The symbol at the top of a window of `width` bits, if its code is no longer than that.
const fn short_symbol(code: &Code, window: u32, width: u32) -> Option<(u8, u32)> {
    let mut length = 1;
    while length <= width {
        let distance = (window >> (width - length)) - code.first_codes[length as usize];
        if distance < code.counts[length as usize] as u32 {
            let symbol = code.symbols[code.offsets[length as usize] as usize + distance as usize];
            return Some((symbol as u8, length));
        }
        length += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::OnceLock;

    use super::*;

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        huffman_encode(&mut out, text);
        assert_eq!(out.len(), huffman_encoded_len(text));
        out
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut out = vec![0; decoded_len_bound(bytes.len())];
        let len = huffman_decode(bytes, &mut out)?;
        out.truncate(len);
        Ok(out)
    }

    /// Packs codes, given as strings of 0 and 1, into bytes.
    fn bits(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').map(|byte| byte - b'0').collect();
        assert_eq!(digits.len() % 8, 0, "{text}");
        digits.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect()
    }

    /// Small, independent of the tables: bit by bit through the list of codes.
    fn naive(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        static SYMBOLS: OnceLock<HashMap<(u8, u32), usize>> = OnceLock::new();
        let symbols =
            SYMBOLS.get_or_init(|| (0..257).map(|at| ((LENGTHS[at], CODE.codes[at]), at)).collect());
        let (mut out, mut code, mut length) = (Vec::new(), 0u32, 0u8);
        for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
            code = code << 1 | u32::from(bit);
            length += 1;
            if let Some(&symbol) = symbols.get(&(length, code)) {
                out.push(u8::try_from(symbol).map_err(|_| DecodeError::HuffmanEos)?);
                (code, length) = (0, 0);
            }
        }
        if length > 7 || code != (1 << length) - 1 {
            return Err(DecodeError::HuffmanPadding);
        }
        Ok(out)
    }

    #[test]
    fn codes_of_the_rfc() {
        for (symbol, code) in [
            (usize::from(b'0'), 0x0),
            (usize::from(b'a'), 0x3),
            (usize::from(b' '), 0x14),
            (usize::from(b'z'), 0x7b),
            (usize::from(b'&'), 0xf8),
            (usize::from(b'!'), 0x3f8),
            (0, 0x1ff8),
            (usize::from(b'\\'), 0x7fff0),
            (0x80, 0xfffe6),
            (0xff, 0x3ffffee),
            (10, 0x3ffffffc),
            (22, 0x3ffffffe),
            (EOS, 0x3fffffff),
        ] {
            assert_eq!(CODE.codes[symbol], code, "{symbol}");
        }
    }

    #[test]
    fn strings_of_the_rfc() {
        let long = [
            0x94, 0xe7, 0x82, 0x1d, 0xd7, 0xf2, 0xe6, 0xc7, 0xb3, 0x35, 0xdf, 0xdf, 0xcd, 0x5b, 0x39, 0x60,
            0xd5, 0xaf, 0x27, 0x08, 0x7f, 0x36, 0x72, 0xc1, 0xab, 0x27, 0x0f, 0xb5, 0x29, 0x1f, 0x95, 0x87,
            0x31, 0x60, 0x65, 0xc0, 0x03, 0xed, 0x4e, 0xe5, 0xb1, 0x06, 0x3d, 0x50, 0x07,
        ];
        for (text, bytes) in [
            (&b""[..], &[][..]),
            (b"302", &[0x64, 0x02]),
            (b"no-cache", &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]),
            (b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1", &long),
        ] {
            assert_eq!(encoded(text), bytes);
            assert_eq!(decoded(bytes).as_deref(), Ok(text));
        }
    }

    #[test]
    fn every_pair_of_bytes() {
        for first in 0..=255 {
            for second in 0..=255 {
                let text = [first, second];
                assert_eq!(decoded(&encoded(&text)).as_deref(), Ok(&text[..]));
            }
        }
    }

    #[test]
    fn all_bytes_in_strings_of_all_short_lengths() {
        let text: Vec<u8> = (0..=255).chain(b' '..=b'~').chain((0..=255).rev()).collect();
        for from in 0..text.len() {
            for to in from..text.len().min(from + 40) {
                let text = &text[from..to];
                assert_eq!(decoded(&encoded(text)).as_deref(), Ok(text));
            }
        }
    }

    #[test]
    fn every_two_bytes_and_many_more_as_the_naive_decoder() {
        for first in 0..=255 {
            assert_eq!(decoded(&[first]), naive(&[first]));
            for second in 0..=255 {
                assert_eq!(decoded(&[first, second]), naive(&[first, second]), "{first:x} {second:x}");
            }
        }
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut seen = [0; 3];
        for length in 3..40 {
            for _ in 0..60 {
                let bytes: Vec<u8> = (0..length)
                    .map(|_| {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        // Ones lead to the long codes and to EOS.
                        (state | state >> 8 | state >> 16 | state >> 24 | 0u64.wrapping_sub(state >> 63))
                            as u8
                    })
                    .collect();
                let expected = naive(&bytes);
                assert_eq!(decoded(&bytes), expected, "{bytes:x?}");
                seen[match expected {
                    Ok(_) => 0,
                    Err(DecodeError::HuffmanPadding) => 1,
                    Err(_) => 2,
                }] += 1;
            }
        }
        assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
    }

    #[test]
    fn padding_is_at_most_seven_ones() {
        assert_eq!(decoded(&bits("00011 111")).unwrap(), b"a");
        assert_eq!(decoded(&bits("00011 00011 00011 1")).unwrap(), b"aaa");
        assert_eq!(decoded(&bits("1111000 1 1111111 1")), Err(DecodeError::HuffmanPadding));
        assert_eq!(decoded(&bits("00011 110")), Err(DecodeError::HuffmanPadding));
        assert_eq!(decoded(&bits("00011 000")), Err(DecodeError::HuffmanPadding));
        assert_eq!(decoded(&bits("00011 111 11111111")), Err(DecodeError::HuffmanPadding));
        assert_eq!(decoded(&bits("11111111")), Err(DecodeError::HuffmanPadding));
        for ones in 2..4 {
            assert_eq!(decoded(&vec![0xff; ones]), Err(DecodeError::HuffmanPadding));
        }
    }

    #[test]
    fn eos_is_refused_wherever_it_stands() {
        let eos = "111111111111111111111111111111";
        for ones in 4..20 {
            assert_eq!(decoded(&vec![0xff; ones]), Err(DecodeError::HuffmanEos));
        }
        assert_eq!(decoded(&bits(&format!("{eos} 11"))), Err(DecodeError::HuffmanEos));
        assert_eq!(decoded(&bits(&format!("00011 {eos} 00011"))), Err(DecodeError::HuffmanEos));
        assert_eq!(
            decoded(&bits(&format!("{} {eos} 010100", "00011".repeat(20)))),
            Err(DecodeError::HuffmanEos)
        );
        // 29 ones and a zero are a symbol: 22.
        assert_eq!(decoded(&bits("11111111 11111111 11111111 111110 11")).as_deref(), Ok(&[22][..]));
    }

    #[test]
    fn stops_where_the_output_is_full() {
        for text in [&b"aaaaaaaaaaaaaaaaaaaaaaaa"[..], b"ZZZZZZZZZZZZZZZZZ", &[0xff; 17], b"a\xffb\x80c"] {
            let bytes = encoded(text);
            for room in 0..text.len() {
                assert_eq!(
                    huffman_decode(&bytes, &mut vec![0; room]),
                    Err(DecodeError::StringTooLong),
                    "{room}"
                );
            }
            let mut exact = vec![0; text.len()];
            assert_eq!(huffman_decode(&bytes, &mut exact), Ok(text.len()));
            assert_eq!(exact, text);
        }
    }
}
