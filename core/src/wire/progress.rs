//! What an incremental parser says of the bytes it has seen so far.

/// The answer of a parser that is fed an opening as it grows.
///
/// It is a function of the bytes alone: how they were cut into segments does not matter, and neither do
/// bytes behind the unit that the parser looks for. [`NeedMore`](Self::NeedMore) changes at most once; every
/// other answer is final and is given at the first byte that settles it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Progress {
    /// The unit is complete and well-formed.
    Done,
    /// No continuation can make these bytes the unit that the parser looks for.
    Invalid,
    /// The bytes are a proper prefix of the unit.
    NeedMore,
    /// So far the bytes are a prefix of the unit, but the unit needs more bytes than the parser's limit
    /// allows. Only bytes that the parser needs are counted: a unit of exactly the limit is
    /// [`Done`](Self::Done), whatever follows it.
    TooLong,
}

impl Progress {
    /// Whether more bytes can no longer change the answer.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        !matches!(self, Self::NeedMore)
    }
}
