//! A place in bytes that somebody else keeps.

/// A half-open range of offsets, kept instead of a slice while the buffer still grows.
///
/// `u32` because every parser's limit is clamped to it: facts are kept per connection, so their size counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// The bytes of this span; `None` when `bytes` is shorter than the buffer that the span was made for.
    pub(crate) fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        bytes.get(usize::try_from(self.start).ok()?..usize::try_from(self.end).ok()?)
    }
}
