//! What real clients sent, what the vocabulary of matchers means word by word, and what users of other multiplexers ran into.

mod content_type;
mod field_notes;
mod matchers;
mod openings;
