//! Names of hosts, as requests and ClientHellos are judged by them.

use core::fmt;

/// A host name to compare with, or what lies below one.
#[derive(Clone, Debug)]
pub(super) struct HostPattern {
    /// In lower case and without a trailing dot; behind the `*` of a pattern, with its dot.
    name: String,
    is_below: bool,
}

impl HostPattern {
    pub(super) fn new(mut name: String) -> Self {
        if name.ends_with('.') {
            name.pop();
        }
        name.make_ascii_lowercase();
        let is_below = name.starts_with("*.");
        if is_below {
            name.remove(0);
        }
        Self { name, is_below }
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let end = match name.len().checked_sub(self.name.len()) {
            Some(0) if !self.is_below => name,
            Some(at) if self.is_below && at > 0 => &name[at..],
            _ => return false,
        };
        end.eq_ignore_ascii_case(self.name.as_bytes())
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_below { "*" } else { "" }, self.name)
    }
}
