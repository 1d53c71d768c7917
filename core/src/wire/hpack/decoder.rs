//! From header blocks to fields (RFC 7541 §3, §6).

use std::fmt;
use std::ops::{ControlFlow, Range};

use thiserror::Error;

use super::dynamic_table::{DynamicTable, ENTRY_OVERHEAD};
use super::{huffman, integer, static_table, Field, DEFAULT_TABLE_SIZE};

/// The most size updates that a block may begin with: the smallest size since the last block, and the
/// final one (RFC 7541 §4.2).
const MAX_SIZE_UPDATES: usize = 2;

/// What decoding one block may produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The sum of name, value and 32 bytes over all fields (RFC 9113 §6.5.2,
    /// SETTINGS_MAX_HEADER_LIST_SIZE).
    pub max_list_size: usize,
    /// The decoded length of one name or value that is sent as a literal, in bytes.
    pub max_string_len: usize,
}

/// Why a block was refused. On a connection each of these is COMPRESSION_ERROR and its end (RFC 9113 §4.3),
/// except [`ListTooLarge`](Self::ListTooLarge), [`StringTooLong`](Self::StringTooLong) and
/// [`Stopped`](Self::Stopped), where the peer kept to the RFC; but the compression state is lost with them, too.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// A Huffman-coded string contains EOS (RFC 7541 §5.2).
    #[error("EOS in a Huffman-coded string")]
    HuffmanEos,
    /// A Huffman-coded string ends in more than seven bits of padding, or in bits other than ones (RFC 7541
    /// §5.2).
    #[error("wrong padding of a Huffman-coded string")]
    HuffmanPadding,
    /// An integer is larger than `u32::MAX` or has more than five continuation octets (RFC 7541 §5.1).
    #[error("integer too large or too long")]
    IntegerOverflow,
    /// An index is 0 or beyond the dynamic table (RFC 7541 §2.3.3, §6.1).
    #[error("index {0} is in neither table")]
    InvalidIndex(usize),
    /// The fields exceed [`Limits::max_list_size`].
    #[error("header list too large")]
    ListTooLarge,
    /// The advertised size was reduced, and the block does not begin with a size update (RFC 7541 §4.2).
    #[error("no size update after the advertised table size was reduced")]
    MissingSizeUpdate,
    /// An earlier block failed on this decoder.
    #[error("the compression state was lost in an earlier block")]
    Poisoned,
    /// A size update follows a field (RFC 7541 §4.2).
    #[error("table size update not at the start of the block")]
    SizeUpdateNotAtStart,
    /// A size update is above what was advertised, or, as the first after a reduction, above the smallest size
    /// that was advertised in between (RFC 7541 §4.2, §6.3).
    #[error("table size update to {size}, where at most {allowed} is allowed")]
    SizeUpdateTooLarge {
        /// The size that the peer set.
        size: usize,
        /// The size that it may set at most.
        allowed: usize,
    },
    /// The callback asked to stop, and what follows in the block is unread.
    #[error("stopped by the receiver of the fields")]
    Stopped,
    /// A string exceeds [`Limits::max_string_len`], or, from [`huffman_decode`](super::huffman_decode), the room
    /// that there is for it.
    #[error("string too long")]
    StringTooLong,
    /// More than two size updates (RFC 7541 §4.2).
    #[error("more than two table size updates")]
    TooManySizeUpdates,
    /// The block ends within a representation.
    #[error("the block ends within a field")]
    Truncated,
}

/// Decodes the header blocks of one direction of one connection, in order.
///
/// A fresh decoder holds no memory. It allocates when a block first puts an entry into the dynamic table or has a
/// Huffman-coded string, twice for an ordinary block, and never per field. Between blocks it holds at most 4
/// times the table's size (or 4 KiB, if that is more) for text, and the index of the entries.
///
/// ```
/// use std::ops::ControlFlow;
/// use oneport_core::wire::hpack::{Decoder, Limits, DEFAULT_TABLE_SIZE};
///
/// let mut decoder = Decoder::new(DEFAULT_TABLE_SIZE);
/// let limits = Limits { max_list_size: 65_536, max_string_len: 16_384 };
/// let block = [0x83, 0x44, 0x02, b'/', b'a'];
/// let mut fields = Vec::new();
/// decoder.decode(&block, &limits, |field| {
///     fields.push((field.name.to_vec(), field.value.to_vec()));
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(fields[0], (b":method".to_vec(), b"POST".to_vec()));
/// assert_eq!(fields[1], (b":path".to_vec(), b"/a".to_vec()));
/// # Ok::<(), oneport_core::wire::hpack::DecodeError>(())
/// ```
#[derive(Clone)]
pub struct Decoder {
    table: DynamicTable,
    /// The SETTINGS_HEADER_TABLE_SIZE in force.
    advertised: usize,
    /// The smallest size advertised since the last block, if it is below the size that the table has: the next
    /// block must begin with an update to no more than this.
    owed: Option<usize>,
    poisoned: bool,
}

/// Says how large its table is, and not what is in it: cookies and credentials are not for logs.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("table_size", &self.table_size()).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder with an empty table. `max_table_size`, in bytes, is what we advertise as
    /// SETTINGS_HEADER_TABLE_SIZE, [`DEFAULT_TABLE_SIZE`] where we advertise none. Allocates nothing.
    ///
    /// Above the default, the table has the default size until the peer raises it by an update. A size below the
    /// default holds from the first block; on HTTP/2 the peer learns of it only by SETTINGS and owes an update, so
    /// there begin with the default and use [`set_max_table_size`](Self::set_max_table_size).
    pub fn new(max_table_size: usize) -> Self {
        Self {
            table: DynamicTable::new(max_table_size.min(DEFAULT_TABLE_SIZE)),
            advertised: max_table_size,
            owed: None,
            poisoned: false,
        }
    }

    /// Puts a new SETTINGS_HEADER_TABLE_SIZE of ours in force: to be called when the peer has acknowledged the
    /// SETTINGS, since until then it may use the old one.
    ///
    /// The table does not change yet. If the size falls below what the table has, the peer must begin its next
    /// block with a size update, and with two if the size rose again in the meantime (RFC 7541 §4.2): a block
    /// without it fails with [`DecodeError::MissingSizeUpdate`], and a first update above the smallest size in
    /// between with [`DecodeError::SizeUpdateTooLarge`]. A larger size may be used by the peer, which says so by
    /// an update.
    pub fn set_max_table_size(&mut self, max_table_size: usize) {
        self.advertised = max_table_size;
        let smallest = self.owed.map_or(max_table_size, |owed| owed.min(max_table_size));
        self.owed = (smallest < self.table.max_size()).then_some(smallest);
    }

    /// The size of the dynamic table in bytes, as RFC 7541 §4.1 counts: name, value and 32 for each entry. Never
    /// above what was advertised.
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// Decodes one whole block and gives each field to `on_field`, in order.
    ///
    /// The fields borrow from the block and from the table, and live until `on_field` returns. What was given
    /// out before an error does not become wrong by it, but is not a whole header list either.
    ///
    /// # Errors
    ///
    /// Any error, [`ControlFlow::Break`] from `on_field` included, leaves the table out of step with the peer's:
    /// every later call is [`DecodeError::Poisoned`]. To answer an oversized request and keep the connection,
    /// count in `on_field` and let decoding go on, with `limits` as the bound of that.
    pub fn decode(
        &mut self,
        block: &[u8],
        limits: &Limits,
        mut on_field: impl FnMut(Field<'_>) -> ControlFlow<()>,
    ) -> Result<(), DecodeError> {
        if self.poisoned {
            return Err(DecodeError::Poisoned);
        }
        // Taken back at the end, so that no way out, a panic of the callback included, forgets it.
        self.poisoned = true;
        let mut rest = block;
        self.take_size_updates(&mut rest)?;
        let mut budget = limits.max_list_size;
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            if first & 0x80 != 0 {
                let (name, value) = self.indexed(integer::decode(first, 7, &mut rest)?)?;
                give(Field { name, value, never_indexed: false }, &mut budget, &mut on_field)?;
                continue;
            }
            let line = self.next_literal(first, &mut rest, limits, budget)?;
            let (name, value) = (self.resolve(&line.name), self.resolve(&line.value));
            give(Field { name, value, never_indexed: line.never_indexed }, &mut budget, &mut on_field)?;
            if line.enters_table {
                self.insert(line.name, line.value);
            }
        }
        self.table.trim();
        self.poisoned = false;
        Ok(())
    }

    /// RFC 7541 §4.2, §6.3.
    fn take_size_updates(&mut self, rest: &mut &[u8]) -> Result<(), DecodeError> {
        let mut allowed = self.owed.unwrap_or(self.advertised);
        let mut updates = 0;
        while let Some((&first, tail)) = rest.split_first() {
            if !is_size_update(first) {
                break;
            }
            updates += 1;
            if updates > MAX_SIZE_UPDATES {
                return Err(DecodeError::TooManySizeUpdates);
            }
            *rest = tail;
            let size = integer::decode(first, 5, rest)?;
            if size > allowed {
                return Err(DecodeError::SizeUpdateTooLarge { size, allowed });
            }
            self.table.set_max_size(size);
            allowed = self.advertised;
        }
        if updates == 0 && self.owed.is_some() {
            return Err(DecodeError::MissingSizeUpdate);
        }
        self.owed = None;
        Ok(())
    }

    /// Reads one representation, of which `first` is the first octet, and decodes its strings.
    fn next_literal<'b>(
        &mut self,
        first: u8,
        rest: &mut &'b [u8],
        limits: &Limits,
        budget: usize,
    ) -> Result<Line<'b>, DecodeError> {
        if is_size_update(first) {
            return Err(DecodeError::SizeUpdateNotAtStart);
        }
        let enters_table = first & 0x40 != 0;
        let never_indexed = first & 0xf0 == 0x10;
        let index = integer::decode(first, if enters_table { 6 } else { 4 }, rest)?;
        let name = if index == 0 { Some(Literal::read(rest)?) } else { None };
        let value = Literal::read(rest)?;

        // The room for both strings is made before either is decoded, so that nothing moves any more.
        let room = budget.checked_sub(ENTRY_OVERHEAD).ok_or(DecodeError::ListTooLarge)?;
        let value_bound = value.bound(limits, room)?;
        let name_bound = match &name {
            Some(name) => name.bound(limits, room)?,
            None => self.name_at(index)?.len(),
        };
        let is_huffman = value.is_huffman || name.as_ref().is_some_and(|name| name.is_huffman);
        if enters_table || is_huffman {
            self.table.reserve(name_bound.saturating_add(value_bound));
        }

        let name_place = self.table.spare_start();
        let name = match name {
            Some(name) => self.decode_literal(&name, name_place, limits, room)?,
            None => self.name_at(index)?,
        };
        let room = room.checked_sub(name.len()).ok_or(DecodeError::ListTooLarge)?;
        let value = self.decode_literal(&value, name_place + name.len(), limits, room)?;
        Ok(Line { name, value, enters_table, never_indexed })
    }

    /// Decodes a string, if it is Huffman-coded, to the position `place` of the table's spare room, which has been
    /// reserved. `room` is what the header list has left for it.
    #[inline(always)]
    fn decode_literal<'b>(
        &mut self,
        literal: &Literal<'b>,
        place: usize,
        limits: &Limits,
        room: usize,
    ) -> Result<Text<'b>, DecodeError> {
        if !literal.is_huffman {
            return Ok(Text::Outside(literal.octets));
        }
        let spare = self.table.spare(place, limits.max_string_len.min(room));
        match huffman::huffman_decode(literal.octets, spare) {
            Ok(len) => Ok(Text::Inside(place..place + len)),
            Err(DecodeError::StringTooLong) if room < limits.max_string_len => Err(DecodeError::ListTooLarge),
            Err(error) => Err(error),
        }
    }

    /// Name and value of an entry of either table (RFC 7541 §2.3.3).
    #[inline]
    fn indexed(&self, index: usize) -> Result<(&[u8], &[u8]), DecodeError> {
        if let Some(entry) = static_table::get(index) {
            return Ok(entry);
        }
        let (name, value) = self.dynamic(index)?;
        Ok((self.table.text(name), self.table.text(value)))
    }

    #[inline(always)]
    fn name_at(&self, index: usize) -> Result<Text<'static>, DecodeError> {
        match static_table::get(index) {
            Some((name, _)) => Ok(Text::Outside(name)),
            None => Ok(Text::Inside(self.dynamic(index)?.0)),
        }
    }

    #[inline]
    fn dynamic(&self, index: usize) -> Result<(Range<usize>, Range<usize>), DecodeError> {
        let position = index.checked_sub(static_table::LEN + 1);
        position.and_then(|position| self.table.get(position)).ok_or(DecodeError::InvalidIndex(index))
    }

    fn resolve<'s>(&'s self, text: &Text<'s>) -> &'s [u8] {
        match text {
            Text::Inside(range) => self.table.text(range.clone()),
            Text::Outside(octets) => octets,
        }
    }

    /// The name may be that of an entry which this insertion evicts (RFC 7541 §4.4), so text is brought to its
    /// place first.
    fn insert(&mut self, name: Text<'_>, value: Text<'_>) {
        let place = self.table.spare_start();
        let (name_len, value_len) = (name.len(), value.len());
        self.bring(name, place);
        self.bring(value, place + name_len);
        self.table.insert_spare(name_len, value_len);
    }

    fn bring(&mut self, text: Text<'_>, place: usize) {
        match text {
            Text::Inside(range) if range.start == place => {}
            Text::Inside(range) => self.table.copy_within(range, place),
            Text::Outside(octets) => self.table.copy_in(octets, place),
        }
    }
}

/// Charges a field to the list and, if there is room for it, gives it out.
fn give(
    field: Field<'_>,
    budget: &mut usize,
    on_field: &mut impl FnMut(Field<'_>) -> ControlFlow<()>,
) -> Result<(), DecodeError> {
    *budget = budget.checked_sub(field.list_size()).ok_or(DecodeError::ListTooLarge)?;
    match on_field(field) {
        ControlFlow::Break(()) => Err(DecodeError::Stopped),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn is_size_update(first: u8) -> bool {
    first & 0xe0 == 0x20
}

/// A representation that yields a field, with its strings decoded.
struct Line<'b> {
    name: Text<'b>,
    value: Text<'b>,
    enters_table: bool,
    never_indexed: bool,
}

/// Where a string lies.
enum Text<'b> {
    /// In the table's buffer: an entry, or just decoded into the spare room.
    Inside(Range<usize>),
    /// In the block or the static table.
    Outside(&'b [u8]),
}

impl Text<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Inside(range) => range.len(),
            Self::Outside(octets) => octets.len(),
        }
    }
}

/// A string literal as it was sent (RFC 7541 §5.2).
struct Literal<'b> {
    octets: &'b [u8],
    is_huffman: bool,
}

impl<'b> Literal<'b> {
    fn read(rest: &mut &'b [u8]) -> Result<Self, DecodeError> {
        let (&first, tail) = rest.split_first().ok_or(DecodeError::Truncated)?;
        *rest = tail;
        let len = integer::decode(first, 7, rest)?;
        if len > rest.len() {
            return Err(DecodeError::Truncated);
        }
        let (octets, tail) = rest.split_at(len);
        *rest = tail;
        Ok(Self { octets, is_huffman: first & 0x80 != 0 })
    }

    /// How long the decoded string can be within the limits.
    fn bound(&self, limits: &Limits, room: usize) -> Result<usize, DecodeError> {
        if self.is_huffman {
            return Ok(huffman::decoded_len_bound(self.octets.len()).min(limits.max_string_len).min(room));
        }
        if self.octets.len() > limits.max_string_len {
            return Err(DecodeError::StringTooLong);
        }
        if self.octets.len() > room {
            return Err(DecodeError::ListTooLarge);
        }
        Ok(self.octets.len())
    }
}
