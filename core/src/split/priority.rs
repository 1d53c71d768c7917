//! The value of a PRIORITY_UPDATE.

/// Longer ones say nothing that is known.
const MOST: usize = 64;

/// Whether this is a Priority Field Value (RFC 9218 §4, a dictionary of RFC 9651) that every server takes: items with their keys, and
/// urgency and incremental as RFC 9218 has them. A server may reset the stream for another one, or end the connection (§7.1), at
/// the price of a frame for the client. Inner lists, strings, parameters and tabs are not looked into and are none.
pub(super) fn is_valid(value: &[u8]) -> bool {
    value.len() <= MOST && (value.is_empty() || value.split(|byte| *byte == b',').all(is_member))
}

fn is_member(mut member: &[u8]) -> bool {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = member {
        member = rest;
    }
    let (key, value) = match member.iter().position(|byte| *byte == b'=') {
        Some(at) => (member.get(..at).unwrap_or_default(), member.get(at + 1..)),
        None => (member, None),
    };
    match (key, value) {
        (b"u", value) => matches!(value, Some([b'0'..=b'7'])),
        (b"i", value) => matches!(value, None | Some(b"?0" | b"?1")),
        (key, value) => is_key(key) && value.map_or(true, is_token_or_number),
    }
}

fn is_key(key: &[u8]) -> bool {
    key.first().is_some_and(|byte| byte.is_ascii_lowercase() || *byte == b'*')
        && key.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'))
}

/// A token that begins with a letter, a whole number, or a boolean.
fn is_token_or_number(value: &[u8]) -> bool {
    match value {
        b"?0" | b"?1" => true,
        [first, rest @ ..] if first.is_ascii_alphabetic() => {
            rest.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'*'))
        }
        digits => !digits.is_empty() && digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_server_takes() {
        for good in
            ["", "u=0", "u=7", "i", "i=?0", "u=3, i", "u=5,i=?1", " u=1 ", "u=1, x", "a.b-c_d*=tok, n=12"]
        {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "u", "u=8", "u=-1", "u=10", "u=1.5", "u=?1", "u=!", "u=", "i=1", "i=?2", "I", "=1", ",", "u=1,",
            "u=1;x", "x=\"s\"", "x=(a)", "u=1\0", "\u{fc}", "x=1a", "x=?2", "9=1", "\tu=1", "u=1,\ti",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
        assert!(is_valid(format!("a{}", "b".repeat(MOST - 1)).as_bytes()));
        assert!(!is_valid(format!("a{}", "b".repeat(MOST)).as_bytes()));
    }
}
