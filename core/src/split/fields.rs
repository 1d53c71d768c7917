//! A header list in one piece of memory, for fields that can not be passed on at once.

use crate::wire::hpack::Field;

/// In front of each field: the length of its name, and that of its value with [`NEVER_INDEXED`] in the highest bit.
const PREFIX: usize = 8;

const NEVER_INDEXED: u32 = 1 << 31;

/// Memory that an empty list keeps for the next one.
const KEPT: usize = 2 * 1024;

/// Fields in order, with their never-indexed marks.
#[derive(Clone, Default)]
pub(super) struct Fields {
    bytes: Vec<u8>,
}

impl Fields {
    /// Adds a field. Names and values are shorter than 2³¹: the decoder's limits see to that.
    pub(super) fn push(&mut self, field: &Field<'_>) {
        let mark = if field.never_indexed { NEVER_INDEXED } else { 0 };
        let mut prefix = [0; PREFIX];
        prefix[..4].copy_from_slice(&(field.name.len() as u32).to_be_bytes());
        prefix[4..].copy_from_slice(&(field.value.len() as u32 & !NEVER_INDEXED | mark).to_be_bytes());
        self.bytes.extend_from_slice(&prefix);
        self.bytes.extend_from_slice(field.name);
        self.bytes.extend_from_slice(field.value);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        Iter { rest: &self.bytes }
    }

    /// Bytes of memory in use.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The size as RFC 9113 §6.5.2 counts it.
    pub(super) fn list_size(&self) -> usize {
        self.iter().map(|field| field.list_size()).sum()
    }

    /// Forgets the fields and keeps a bounded amount of memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
    }
}

#[derive(Clone)]
struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let (prefix, behind) = self.rest.split_first_chunk::<PREFIX>()?;
        let [n0, n1, n2, n3, v0, v1, v2, v3] = *prefix;
        let name_len = u32::from_be_bytes([n0, n1, n2, n3]) as usize;
        let value = u32::from_be_bytes([v0, v1, v2, v3]);
        let name = behind.get(..name_len)?;
        let end = name_len + (value & !NEVER_INDEXED) as usize;
        let text = behind.get(name_len..end)?;
        self.rest = &behind[end..];
        Some(Field { name, value: text, never_indexed: value & NEVER_INDEXED != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_with_their_marks() {
        let all = [
            Field { name: b"a", value: b"", never_indexed: true },
            Field { name: b"", value: b"xyz", never_indexed: false },
            Field { name: b"cookie", value: b"\xff\0", never_indexed: true },
        ];
        let mut fields = Fields::default();
        for field in &all {
            fields.push(field);
        }
        assert!(fields.iter().eq(all));
        assert_eq!(fields.list_size(), 3 * 32 + 1 + 3 + 8);
        fields.clear();
        assert_eq!(fields.iter().count(), 0);
    }
}
