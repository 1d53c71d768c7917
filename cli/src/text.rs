//! The lowest layer of the route grammar: a text in which `\,` `\=` `\\` and `\xNN` stand for bytes without a meaning of
//! their own.

use std::fmt::{self, Write as _};
use std::ops::Range;

use crate::fault::Fault;

/// One byte of a decoded text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Symbol {
    pub(crate) byte: u8,
    /// It was written with a backslash: it separates nothing and is no wildcard.
    pub(crate) is_escaped: bool,
    /// Where it was written.
    pub(crate) at: Range<usize>,
}

impl Symbol {
    /// Whether this byte stands here with its meaning.
    pub(crate) const fn is(&self, byte: u8) -> bool {
        self.byte == byte && !self.is_escaped
    }
}

/// Decodes a text.
///
/// # Errors
/// A backslash that begins none of the four escapes.
pub(crate) fn decode(text: &str) -> Result<Vec<Symbol>, Fault> {
    let bytes = text.as_bytes();
    let mut symbols = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (len, byte, is_escaped) = match (byte, bytes.get(at + 1)) {
            (b'\\', Some(&escaped @ (b',' | b'=' | b'\\'))) => (2, escaped, true),
            (b'\\', Some(b'x')) => {
                let value =
                    bytes.get(at + 2..at + 4).and_then(|digits| Some(hex(digits[0])? << 4 | hex(digits[1])?));
                let Some(value) = value else {
                    let end = bytes.len().min(at + 4);
                    return Err(Fault::new(at..end, "`\\x` needs two hexadecimal digits, as in `\\x2c`"));
                };
                (4, value, true)
            }
            (b'\\', _) => {
                let end = text[at + 1..].chars().next().map_or(at + 1, |c| at + 1 + c.len_utf8());
                let message = format!(
                    "`{}` is no escape; they are `\\,` `\\=` `\\\\` and `\\xNN`",
                    text[at..end].escape_debug().to_string().replace("\\\\", "\\")
                );
                return Err(Fault::new(at..end, message));
            }
            (byte, _) => (1, byte, false),
        };
        symbols.push(Symbol { byte, is_escaped, at: at..at + len });
        at += len;
    }
    Ok(symbols)
}

/// The value of a hexadecimal digit.
const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The bytes that symbols stand for.
pub(crate) fn bytes_of(symbols: &[Symbol]) -> Vec<u8> {
    symbols.iter().map(|symbol| symbol.byte).collect()
}

/// Where symbols were written; `otherwise` if there are none.
pub(crate) fn span_of(symbols: &[Symbol], otherwise: usize) -> Range<usize> {
    match symbols {
        [first, .., last] => first.at.start..last.at.end,
        [only] => only.at.clone(),
        [] => otherwise..otherwise,
    }
}

/// The text that symbols stand for.
///
/// # Errors
/// Bytes (from `\xNN`) that are no UTF-8.
pub(crate) fn string_of(symbols: &[Symbol]) -> Result<String, Fault> {
    String::from_utf8(bytes_of(symbols))
        .map_err(|_| Fault::new(span_of(symbols, 0), "the escapes of this value do not make up UTF-8"))
}

/// Writes bytes so that [`decode`] reads them back, none of them with a meaning of its own. `also` names further bytes to
/// escape.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8], pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            match byte {
                b',' | b'=' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                _ if self.1.contains(&byte) || !(byte.is_ascii_graphic() || byte == b' ') => {
                    write!(f, "\\x{byte:02x}")?;
                }
                _ => f.write_char(char::from(byte))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes() {
        let symbols = decode(r"a\,\=\\\x2C=").unwrap();
        assert_eq!(bytes_of(&symbols), b"a,=\\,=");
        let escaped: Vec<bool> = symbols.iter().map(|symbol| symbol.is_escaped).collect();
        assert_eq!(escaped, [false, true, true, true, true, false]);
        assert_eq!(symbols[4].at, 7..11);
    }

    #[test]
    fn what_is_no_escape_is_named_with_its_place() {
        for (text, at, part) in [
            (r"a\n", 1..3, r"`\n` is no escape"),
            (r"a\", 1..2, r"`\` is no escape"),
            (r"a\ä", 1..4, r"`\ä` is no escape"),
            (r"a\x4", 1..4, "two hexadecimal digits"),
            (r"a\x", 1..3, "two hexadecimal digits"),
            (r"a\xzz.", 1..5, "two hexadecimal digits"),
        ] {
            let fault = decode(text).unwrap_err();
            assert_eq!(fault.at, at, "{text}");
            assert!(fault.message.contains(part), "{text}: {}", fault.message);
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_decoded(bytes: Vec<u8>) {
            let text = Escaped(&bytes, b"*").to_string();
            let symbols = decode(&text).unwrap();
            prop_assert_eq!(bytes_of(&symbols), bytes);
            prop_assert!(!symbols.iter().any(|s| s.is(b',') || s.is(b'=') || s.is(b'*')));
        }
    }
}
