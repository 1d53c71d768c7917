//! The dynamic table (RFC 7541 §2.3.2, §4) and the room in which strings are decoded.
//!
//! All text of the table lies in one buffer, oldest entry first, without gaps; a small index says where
//! entries begin. What comes next is written into the spare room behind the newest entry, and becomes an
//! entry by moving a boundary:
//!
//! ```text
//!  text:   [ evicted | name value name value … name value | spare: name value of the field at hand ]
//!          0         head                                 tail                             text.len()
//! ```
//!
//! Eviction moves `head`. Where the spare room is too small, the live part is moved to the front, but only
//! once at least as much was evicted as has to be moved, so a byte is moved at most once for each byte that
//! was inserted; else the buffer grows, at most to twice what is live plus the room asked for, rounded up to a
//! power of two.

use std::collections::VecDeque;
use std::ops::Range;

/// What an entry counts beyond its text (RFC 7541 §4.1).
pub(super) const ENTRY_OVERHEAD: usize = 32;

/// Text for which the first allocation is made: the first request of most clients fits.
const FIRST_TEXT: usize = 512;
/// Entries that need no allocation: those of the first request of most clients.
const FIRST_ENTRIES: usize = 16;
/// The buffer that [`DynamicTable::trim`] leaves to every table, whatever its size: decoding needs it, too.
const KEPT_TEXT: usize = 4096;

#[derive(Clone)]
pub(super) struct DynamicTable {
    /// As long as what was allocated: initialised once, and written by position after that.
    text: Vec<u8>,
    head: usize,
    tail: usize,
    /// Oldest first.
    entries: Entries,
    /// What an entry's `start` has to be reduced by to get a position in `text`: it grows when text moves, so
    /// that the entries need not be touched. Wraps.
    moved: usize,
    size: usize,
    max_size: usize,
}

/// An entry ends where the next begins, the newest at `tail`.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    name_len: usize,
}

impl DynamicTable {
    /// An empty table; allocates nothing.
    pub(super) fn new(max_size: usize) -> Self {
        Self { text: Vec::new(), head: 0, tail: 0, entries: Entries::new(), moved: 0, size: 0, max_size }
    }

    /// The sum of all entries, as RFC 7541 §4.1 counts; never above `max_size`.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sets the bound and evicts what is above it.
    pub(super) fn set_max_size(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.evict_to(max_size);
    }

    /// Where name and value of an entry lie, the newest at position 0.
    pub(super) fn get(&self, position: usize) -> Option<(Range<usize>, Range<usize>)> {
        let at = self.entries.len().checked_sub(1)?.checked_sub(position)?;
        let entry = self.entries.get(at)?;
        let start = self.place(entry.start);
        let name_end = start + entry.name_len;
        let end = self.entries.get(at + 1).map_or(self.tail, |next| self.place(next.start));
        Some((start..name_end, name_end..end))
    }

    pub(super) fn text(&self, range: Range<usize>) -> &[u8] {
        &self.text[range]
    }

    /// Makes sure that the spare room has at least `room` bytes. Ranges from [`get`](Self::get) hold no longer.
    pub(super) fn reserve(&mut self, room: usize) {
        if self.text.len() - self.tail < room {
            self.make_room(room);
        }
    }

    /// Where the spare room begins.
    pub(super) fn spare_start(&self) -> usize {
        self.tail
    }

    /// The spare room from the position `from`, of `len` bytes at most.
    pub(super) fn spare(&mut self, from: usize, len: usize) -> &mut [u8] {
        let end = self.text.len().min(from.saturating_add(len));
        &mut self.text[from..end]
    }

    /// Copies `bytes` into the spare room, at position `to`, which [`reserve`](Self::reserve) has provided.
    pub(super) fn copy_in(&mut self, bytes: &[u8], to: usize) {
        self.text[to..to + bytes.len()].copy_from_slice(bytes);
    }

    /// Copies text of an entry into the spare room, at position `to`.
    pub(super) fn copy_within(&mut self, range: Range<usize>, to: usize) {
        self.text.copy_within(range, to);
    }

    /// Makes an entry of the first `name_len + value_len` bytes of the spare room. Evicts what has to go
    /// before; an entry that is larger than the table empties it and is not stored, which is no error (RFC
    /// 7541 §4.4).
    pub(super) fn insert_spare(&mut self, name_len: usize, value_len: usize) {
        let text = name_len + value_len;
        let size = text.saturating_add(ENTRY_OVERHEAD);
        let Some(left) = self.max_size.checked_sub(size) else {
            self.evict_to(0);
            return;
        };
        self.evict_to(left);
        self.entries.push_back(Entry { start: self.tail.wrapping_add(self.moved), name_len });
        self.tail += text;
        self.size += size;
    }

    /// Gives back memory that only an extraordinary string or a larger table needed. Ranges hold no longer.
    pub(super) fn trim(&mut self) {
        if self.text.len() > self.max_size.saturating_mul(4).max(KEPT_TEXT) {
            self.relocate(self.live());
        }
    }

    /// What is allocated, in bytes.
    #[cfg(test)]
    pub(super) fn footprint(&self) -> usize {
        use std::mem::size_of;
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    fn live(&self) -> usize {
        self.tail - self.head
    }

    fn place(&self, start: usize) -> usize {
        start.wrapping_sub(self.moved)
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_front() else { break };
            let start = self.place(oldest.start);
            let end = self.entries.get(0).map_or(self.tail, |next| self.place(next.start));
            self.head = end;
            self.size -= end - start + ENTRY_OVERHEAD;
        }
    }

    #[cold]
    fn make_room(&mut self, room: usize) {
        let live = self.live();
        if self.head >= live && self.text.len() - live >= room {
            self.text.copy_within(self.head..self.tail, 0);
            self.moved_to_front();
        } else {
            self.relocate(live.saturating_add(room));
        }
    }

    /// Moves the live text into a buffer that has room for it and `more` bytes.
    fn relocate(&mut self, more: usize) {
        let wanted = self.live().saturating_add(more).max(FIRST_TEXT);
        let mut text = vec![0; wanted.checked_next_power_of_two().unwrap_or(wanted)];
        text[..self.live()].copy_from_slice(&self.text[self.head..self.tail]);
        self.text = text;
        self.moved_to_front();
    }

    fn moved_to_front(&mut self) {
        self.tail -= self.head;
        self.moved = self.moved.wrapping_add(self.head);
        self.head = 0;
    }
}

/// A queue of entries. The first ones lie in place: a decoder that reads one block and goes allocates for its text only.
// The large variant is the point: in a box it would be the allocation that it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
enum Entries {
    /// A ring: `len` entries from `first` on.
    Few {
        ring: [Entry; FIRST_ENTRIES],
        first: usize,
        len: usize,
    },
    Many(VecDeque<Entry>),
}

impl Entries {
    const fn new() -> Self {
        Self::Few { ring: [Entry { start: 0, name_len: 0 }; FIRST_ENTRIES], first: 0, len: 0 }
    }

    fn len(&self) -> usize {
        match self {
            Self::Few { len, .. } => *len,
            Self::Many(entries) => entries.len(),
        }
    }

    /// The one at this place from the oldest.
    fn get(&self, at: usize) -> Option<&Entry> {
        match self {
            Self::Few { ring, first, len } if at < *len => ring.get((first + at) % FIRST_ENTRIES),
            Self::Few { .. } => None,
            Self::Many(entries) => entries.get(at),
        }
    }

    fn pop_front(&mut self) -> Option<Entry> {
        match self {
            Self::Few { ring, first, len } => {
                *len = len.checked_sub(1)?;
                let oldest = ring.get(*first).copied();
                *first = (*first + 1) % FIRST_ENTRIES;
                oldest
            }
            Self::Many(entries) => entries.pop_front(),
        }
    }

    fn push_back(&mut self, entry: Entry) {
        match self {
            Self::Few { ring, first, len } => {
                if let Some(place) =
                    ring.get_mut((*first + *len) % FIRST_ENTRIES).filter(|_| *len < FIRST_ENTRIES)
                {
                    *place = entry;
                    *len += 1;
                    return;
                }
                ring.rotate_left(*first);
                let mut many = VecDeque::with_capacity(2 * FIRST_ENTRIES);
                many.extend(*ring);
                many.push_back(entry);
                *self = Self::Many(many);
            }
            Self::Many(entries) => entries.push_back(entry),
        }
    }

    /// What is allocated, in entries.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        match self {
            Self::Few { .. } => 0,
            Self::Many(entries) => entries.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::*;

    fn insert(table: &mut DynamicTable, name: &[u8], value: &[u8]) {
        table.reserve(name.len() + value.len());
        let at = table.spare_start();
        table.copy_in(name, at);
        table.copy_in(value, at + name.len());
        table.insert_spare(name.len(), value.len());
    }

    fn entry(table: &DynamicTable, position: usize) -> Option<(&[u8], &[u8])> {
        table.get(position).map(|(name, value)| (table.text(name), table.text(value)))
    }

    #[test]
    fn newest_first_and_oldest_evicted() {
        let mut table = DynamicTable::new(2 * (ENTRY_OVERHEAD + 2));
        assert_eq!(entry(&table, 0), None);
        insert(&mut table, b"a", b"1");
        insert(&mut table, b"b", b"2");
        assert_eq!(table.size(), 68);
        assert_eq!(entry(&table, 0), Some((&b"b"[..], &b"2"[..])));
        assert_eq!(entry(&table, 1), Some((&b"a"[..], &b"1"[..])));
        insert(&mut table, b"c", b"");
        assert_eq!(table.size(), 67);
        assert_eq!(entry(&table, 0), Some((&b"c"[..], &b""[..])));
        assert_eq!(entry(&table, 1), Some((&b"b"[..], &b"2"[..])));
        assert_eq!(entry(&table, 2), None);
        assert_eq!(entry(&table, usize::MAX), None);
    }

    #[test]
    fn an_entry_as_large_as_the_table_stays_and_a_larger_one_empties_it() {
        let mut table = DynamicTable::new(ENTRY_OVERHEAD + 4);
        insert(&mut table, b"ab", b"cd");
        assert_eq!((table.len(), table.size()), (1, 36));
        insert(&mut table, b"ab", b"cde");
        assert_eq!((table.len(), table.size()), (0, 0));
        insert(&mut table, b"ab", b"cd");
        assert_eq!(entry(&table, 0), Some((&b"ab"[..], &b"cd"[..])));
    }

    #[test]
    fn a_smaller_bound_evicts_at_once() {
        let mut table = DynamicTable::new(4096);
        for value in 0..10u8 {
            insert(&mut table, b"name", &[value]);
        }
        table.set_max_size(2 * (ENTRY_OVERHEAD + 5) + 1);
        assert_eq!((table.len(), table.size()), (2, 74));
        assert_eq!(entry(&table, 1), Some((&b"name"[..], &[8][..])));
        table.set_max_size(0);
        assert_eq!((table.len(), table.size()), (0, 0));
        insert(&mut table, b"", b"");
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn nothing_is_allocated_before_it_is_needed() {
        assert_eq!(DynamicTable::new(usize::MAX).footprint(), 0);
    }

    #[test]
    fn no_more_is_moved_than_was_inserted() {
        for text_len in [0, 1, 50, 100, 1000, 2000] {
            let mut table = DynamicTable::new(4096);
            let (mut inserted, mut moved) = (0, 0);
            for _ in 0..2000 {
                let (live, front, room) = (table.live(), table.moved, table.text.len());
                insert(&mut table, &vec![b'n'; text_len / 2], &vec![b'v'; text_len / 2]);
                inserted += text_len / 2 * 2;
                if table.moved != front || table.text.len() != room {
                    moved += live;
                }
            }
            assert!(moved <= inserted, "{moved} bytes moved for {inserted}");
        }
    }

    /// Against a list of strings, with lengths that make it move, grow and evict in many orders.
    #[test]
    fn as_a_list_of_strings() {
        let mut state = 1u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below).unwrap()
        };
        for max_size in [0, 31, 32, 100, 4096, 20_000] {
            let mut table = DynamicTable::new(max_size);
            let mut model: VecDeque<(Vec<u8>, Vec<u8>)> = VecDeque::new();
            let mut bound = max_size;
            for step in 0..4000usize {
                match random(40) {
                    0 => {
                        bound = random(max_size as u64 + 1);
                        table.set_max_size(bound);
                    }
                    1 => {
                        bound = max_size;
                        table.set_max_size(bound);
                    }
                    2 => table.trim(),
                    3 => table.reserve(random(3000)),
                    _ => {
                        let longest = if random(20) == 0 { 5000 } else { 60 };
                        let name = vec![step as u8; random(longest)];
                        let value = vec![!(step as u8); random(longest)];
                        insert(&mut table, &name, &value);
                        model.push_front((name, value));
                    }
                }
                let mut left = bound;
                let fitting = model.iter().take_while(|(name, value)| {
                    let size = name.len() + value.len() + ENTRY_OVERHEAD;
                    left.checked_sub(size).map(|rest| left = rest).is_some()
                });
                let fitting = fitting.count();
                model.truncate(fitting);
                assert_eq!(table.len(), model.len());
                assert_eq!(table.size(), bound - left);
                for (position, (name, value)) in model.iter().enumerate() {
                    assert_eq!(entry(&table, position), Some((&name[..], &value[..])));
                }
                table.trim();
                let index = 2 * (max_size / ENTRY_OVERHEAD + FIRST_ENTRIES) * size_of::<Entry>();
                assert!(table.footprint() <= KEPT_TEXT.max(4 * max_size) + index, "{}", table.footprint());
            }
        }
    }
}
