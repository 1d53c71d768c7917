//! HPACK, the header compression of HTTP/2 (RFC 7541).
//!
//! A header block is a sequence of *representations*: an index into the static and the dynamic table, or a
//! literal, which may also enter the dynamic table, or a new size of that table.
//!
//! ```text
//!  1xxxxxxx  indexed field                      001xxxxx  size update, only at the start of a block
//!  01xxxxxx  literal, enters the table          0001xxxx  literal, never indexed, not by anyone on the way
//!                                               0000xxxx  literal, not indexed
//! ```
//!
//! Every byte of a block is hostile. What bounds the work and the memory that it can cause:
//!
//! - an index stands for up to a whole table's worth of text in one byte, so [`Limits::max_list_size`] is
//!   charged before a field is given out, and decoding stops where it is passed;
//! - a string is charged against [`Limits::max_string_len`] while it is decoded, not after;
//! - the dynamic table never holds more than the size that was advertised, and text moves inside it at most
//!   once for each byte that was inserted;
//! - after an error the compression state is lost, and the [`Decoder`] refuses every further block.
//!
//! Whole blocks only: HEADERS and its CONTINUATIONs are put together before (and bounded there). What a field
//! *means* (lower case, pseudo-headers, forbidden characters) is not judged here.

mod decoder;
mod dynamic_table;
mod encoder;
mod huffman;
mod integer;
mod static_table;

use std::fmt;

pub use decoder::{DecodeError, Decoder, Limits};
pub use encoder::{encode_field, encode_never_indexed, Encoder};
pub use huffman::{huffman_decode, huffman_encode, huffman_encoded_len};

/// The dynamic table's size in bytes before any SETTINGS said otherwise (RFC 9113 §6.5.2,
/// SETTINGS_HEADER_TABLE_SIZE).
pub const DEFAULT_TABLE_SIZE: usize = 4096;

/// A header field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, as it was sent: HTTP/2 requires lower case, HPACK does not.
    pub name: &'a [u8],
    /// The value. Any bytes.
    pub value: &'a [u8],
    /// The sender wants no one on the way to index this field (RFC 7541 §6.2.3, §7.1.3): whoever passes it on
    /// must use the never-indexed representation again.
    pub never_indexed: bool,
}

impl Field<'_> {
    /// What the field counts in a header list, in bytes: name, value and 32 (RFC 9113 §6.5.2).
    pub fn list_size(&self) -> usize {
        self.name.len().saturating_add(self.value.len()).saturating_add(dynamic_table::ENTRY_OVERHEAD)
    }
}

/// Keeps the value of a never-indexed field to itself: what must not be indexed should not be logged.
impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name.escape_ascii())?;
        if self.never_indexed {
            return write!(f, "<never indexed, {} bytes>", self.value.len());
        }
        write!(f, "{}", self.value.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_counts_32_for_each_field() {
        let field = Field { name: b"abc", value: b"de", never_indexed: false };
        assert_eq!(field.list_size(), 37);
    }

    #[test]
    fn debug_hides_what_is_never_indexed() {
        let open = Field { name: b"cookie", value: b"a\n", never_indexed: false };
        assert_eq!(format!("{open:?}"), r"cookie: a\n");
        let secret = Field { never_indexed: true, ..open };
        assert_eq!(format!("{secret:?}"), "cookie: <never indexed, 2 bytes>");
    }
}
