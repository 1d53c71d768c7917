//! Ways to cut an opening, for the law that segmentation does not matter.

use oneport_core::wire::progress::Progress;
use proptest::prelude::*;
use proptest::sample::Index;

/// Places to cut at, for [`ends`].
pub(crate) fn cuts() -> impl Strategy<Value = Vec<Index>> {
    proptest::collection::vec(any::<Index>(), 0..8)
}

/// Where each segment of an opening of this length ends; the last ends with the opening.
pub(crate) fn ends(cuts: &[Index], length: usize) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
    ends.push(length);
    ends.sort_unstable();
    ends
}

/// Where each of these segments ends.
pub(crate) fn ends_of(segments: &[usize]) -> Vec<usize> {
    let mut end = 0;
    segments
        .iter()
        .map(|segment| {
            end += segment;
            end
        })
        .collect()
}

/// The answer for each prefix, from the empty one to the whole, each given to a fresh parser at once.
pub(crate) fn answers(opening: &[u8], whole: impl Fn(&[u8]) -> Progress) -> Vec<Progress> {
    (0..=opening.len()).map(|end| whole(&opening[..end])).collect()
}

/// Asserts that the answers change once at most, from "need more"; returns how many bytes settled them.
pub(crate) fn settled_at(answers: &[Progress]) -> Option<usize> {
    let settled = answers.iter().position(|answer| answer.is_settled())?;
    assert!(answers[settled..].iter().all(|answer| *answer == answers[settled]), "an answer was taken back");
    Some(settled)
}

/// One change of an opening: a byte replaced, put in or taken out.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Insert(Index, u8),
    Remove(Index),
    Replace(Index, u8),
}

impl Mutation {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
            _ if bytes.is_empty() => {}
            Self::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Self::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
        }
    }
}

/// Up to this many changes, with bytes from `byte`.
pub(crate) fn mutations(most: usize, byte: BoxedStrategy<u8>) -> impl Strategy<Value = Vec<Mutation>> {
    let mutation = prop_oneof![
        (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<Index>().prop_map(Mutation::Remove),
        (any::<Index>(), byte).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
    ];
    proptest::collection::vec(mutation, 0..=most)
}
