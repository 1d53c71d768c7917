//! A mistake in a text that a person wrote: what is wrong, where, and what may have been meant.

use std::fmt::Write as _;
use std::ops::Range;

/// What is wrong with a text. Places are byte offsets into it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    /// One sentence without a full stop that names the word.
    pub(crate) message: String,
    /// The bytes that are meant.
    pub(crate) at: Range<usize>,
}

impl Fault {
    pub(crate) fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), at }
    }

    /// The same fault in a text in which this one begins at `start`.
    pub(crate) fn shifted(mut self, start: usize) -> Self {
        self.at = self.at.start + start..self.at.end + start;
        self
    }

    /// For a text of one line, given as an argument: the message with its column, the text, and carets below the place.
    pub(crate) fn in_argument(&self, option: &str, text: &str) -> String {
        let (line, column, marks) = self.place(text);
        format!("{option}, column {column}: {}\n  {line}\n  {marks}", self.message)
    }

    /// For a file: the message behind `file:line:column`, the line, and carets below the place.
    pub(crate) fn in_file(&self, file: &str, text: &str) -> String {
        let (line, column, marks) = self.place(text);
        let number = 1 + text[..floor(text, self.at.start)].matches('\n').count();
        format!("{file}:{number}:{column}: {}\n  {line}\n  {marks}", self.message)
    }

    /// The line in which the fault begins, the column (from 1, in characters) and a line of carets.
    fn place(&self, text: &str) -> (String, usize, String) {
        let start = floor(text, self.at.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor(text, self.at.end).clamp(start, line_end);
        let column = text[line_start..start].chars().count();
        let carets = text[start..end].chars().count().max(1);
        let mut marks = String::new();
        let _ = write!(marks, "{:column$}{}", "", "^".repeat(carets));
        (shown(&text[line_start..line_end]), column + 1, marks)
    }
}

/// A line as it is shown: control characters would move the carets, or the reader's terminal.
fn shown(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The nearest place at or before `at` that lies between two characters.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_shown() {
        let fault = Fault::new(5..9, "unknown term `grcp`");
        assert_eq!(
            fault.in_argument("--route", "any,,grcp=x"),
            "--route, column 6: unknown term `grcp`\n  any,,grcp=x\n       ^^^^"
        );
        let fault = Fault::new(10..14, "no");
        assert_eq!(fault.in_file("a.toml", "drain = 1\nlsten = 2\n"), "a.toml:2:1: no\n  lsten = 2\n  ^^^^");
    }

    #[test]
    fn places_outside_or_inside_characters_do_no_harm() {
        // The last one is upside down, which no parser should make, and which should do no harm either.
        let upside_down = Range { start: 3, end: 1 };
        for at in [0..0, 1..2, 9..99, upside_down] {
            let shown = Fault::new(at, "m").in_file("f", "äö\nü");
            assert!(shown.contains('^'), "{shown}");
        }
    }
}
