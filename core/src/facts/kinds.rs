//! Sets of protocols, so that a route for one protocol need not be asked about an opening in another.

/// A set of what an opening may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    /// Nothing at all.
    pub(crate) const NONE: Self = Self(0);
    /// Just bytes: no opening is without it.
    pub(crate) const RAW: Self = Self(1);
    pub(crate) const HTTP1: Self = Self(2);
    pub(crate) const HTTP2: Self = Self(4);
    pub(crate) const HTTP: Self = Self::HTTP1.or(Self::HTTP2);
    pub(crate) const TLS: Self = Self(8);
    pub(crate) const ALL: Self = Self(15);

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether they have something in common.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The smaller of two sets.
    pub(crate) const fn smaller(self, other: Self) -> Self {
        if self.0.count_ones() <= other.0.count_ones() {
            self
        } else {
            other
        }
    }
}
