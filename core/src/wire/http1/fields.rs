//! The field lines of a head that has been checked.

/// Name and value of each field line, in the order of the head.
///
/// Names are as sent (they are case-insensitive, RFC 9110 §5.1); values are without the white space around
/// them (§5.5). Lines of one name are not joined.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// `lines` begins behind the request line and ends with the empty line, or is empty.
    pub(super) fn new(lines: &'a [u8]) -> Self {
        Self { rest: lines }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (line, rest) = split_at_byte(self.rest, b'\n')?;
        // The empty line that ends the head has no colon, and so ends the iteration too.
        let (name, value) = split_at_byte(line, b':')?;
        self.rest = rest;
        Some((name, trim(value.strip_suffix(b"\r").unwrap_or(value))))
    }
}

impl std::iter::FusedIterator for Fields<'_> {}

fn split_at_byte(bytes: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&candidate| candidate == byte)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// Without OWS (RFC 9110 §5.6.3), which is narrower than ASCII white space, at either end.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_trimmed() {
        let lines =
            b"Host: a.example\r\nA:\r\nB: \t \r\nC:d e\t \nD: x:y\r\nD: \t\xe4 z\r\n\r\nnot: mine\r\n";
        let fields: Vec<_> = Fields::new(lines).collect();
        let expected: [(&[u8], &[u8]); 6] = [
            (b"Host", b"a.example"),
            (b"A", b""),
            (b"B", b""),
            (b"C", b"d e"),
            (b"D", b"x:y"),
            (b"D", b"\xe4 z"),
        ];
        assert_eq!(fields, expected);
        assert_eq!(Fields::new(b"").count(), 0);
        assert_eq!(Fields::new(b"\r\n").count(), 0);
    }
}
