//! What a request target and an authority say (RFC 9112 §3.2, RFC 3986).
//!
//! Nothing here changes case or decodes percent-escapes: how to compare is a matter of the matcher.

/// The path of a target in origin-form (`/a?b`) or absolute-form (`http://a.example/a?b`), without query and
/// fragment; `None` for the other two forms (`*`, `a.example:443`) and for anything malformed.
///
/// - An absolute-form without a path names the root, `/` (RFC 9110 §4.2.3).
/// - `http:/a` and `http:///a` have one as well. They are URIs (RFC 3986 §3), if not of HTTP (RFC 9110 §4.2.1), and servers
///   that read any URI serve them by their path: without one here, they would be a way around its routes.
#[must_use]
pub fn path_of(target: &[u8]) -> Option<&[u8]> {
    let path_and_query = match target {
        [b'/', ..] => target,
        _ => split_absolute(target)?.1,
    };
    let end = position(path_and_query, |byte| matches!(byte, b'?' | b'#'));
    match path_and_query.get(..end)? {
        [] => Some(b"/"),
        path => Some(path),
    }
}

/// The authority of a target in absolute-form; `None` for the other three forms, an empty authority and anything malformed.
///
/// The authority-form (`a.example:443`) is one as a whole, but only of CONNECT (RFC 9112 §3.2.3): as the target of another
/// method it says nothing, and servers go by Host.
#[must_use]
pub fn authority_of(target: &[u8]) -> Option<&[u8]> {
    split_absolute(target).map(|(authority, _)| authority).filter(|authority| !authority.is_empty())
}

/// Authority and path of the target of CONNECT: what is in front of the first `/`, `?` or `#`, and what begins with that `/`, without
/// its query. All that is valid is the authority-form (RFC 9112 §3.2.3), without a path; but servers hand CONNECT to their handlers
/// by what its target says (seen: Go's), also where that is `/a` or `a.example/a`. Not read like this, CONNECT would be a way
/// around the routes.
#[must_use]
pub fn connect_parts(target: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    let end = position(target, |byte| matches!(byte, b'/' | b'?' | b'#'));
    let (authority, rest) = target.split_at(end);
    let path = if rest.starts_with(b"/") { path_of(rest) } else { None };
    ((!authority.is_empty()).then_some(authority), path)
}

/// The host of an authority or of a Host field's value: without userinfo, port and one trailing dot.
///
/// - Userinfo is everything up to the last `@`, as URI libraries read it. It has no place in a request (RFC
///   9110 §4.2.4), and a name in it must not choose a route: `a.example@b.example` is for `b.example`.
/// - An IPv6 address keeps its brackets: `[::1]:80` gives `[::1]`.
/// - A port need not be a number: servers pass over what is behind the colon (seen: Go's and nginx), and with `a.example:x` no
///   client shall be able to hide the name that they see.
/// - What is no `host:port` stays whole (`a:b:c`, `[::1]x`) and so matches no name.
#[must_use]
pub fn host_of(authority: &[u8]) -> &[u8] {
    // Nearly all are a name alone or with a port; each route that looks at hosts asks again.
    let special = position(authority, |byte| matches!(byte, b':' | b'@' | b'[' | b']'));
    let (name, port) = authority.split_at(special);
    let is_plain = match port {
        [] => true,
        [b':', port @ ..] => !port.iter().any(|byte| matches!(byte, b':' | b'@' | b'[' | b']')),
        _ => false,
    };
    if is_plain {
        return name.strip_suffix(b".").unwrap_or(name);
    }
    let after_userinfo = authority.rsplit(|&byte| byte == b'@').next().unwrap_or_default();
    match without_port(after_userinfo) {
        literal @ [b'[', ..] => literal,
        name => name.strip_suffix(b".").unwrap_or(name),
    }
}

/// Authority and the rest (path, query) of `scheme ":" [ "//" authority ] path-abempty [ "?" query ]`; the authority is empty
/// where there is none.
fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = position(target, |byte| byte == b':');
    let scheme = target.get(..colon)?;
    let is_scheme = |&byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if !scheme.first()?.is_ascii_alphabetic() || !scheme.iter().all(is_scheme) {
        return None;
    }
    let rest = target.get(colon + 1..)?;
    let Some(rest) = rest.strip_prefix(b"//") else {
        return rest.starts_with(b"/").then_some((&[], rest));
    };
    let end = position(rest, |byte| matches!(byte, b'/' | b'?' | b'#'));
    Some((rest.get(..end)?, rest.get(end..)?))
}

/// The host of `host [ ":" port ]`; everything if it is not one.
fn without_port(authority: &[u8]) -> &[u8] {
    // Behind a bracketed address there may be a port; before it, a colon would be part of the address.
    let bracket = authority.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    let tail = authority.get(bracket..).unwrap_or_default();
    let mut parts = tail.splitn(2, |&byte| byte == b':');
    let (before, port) = (parts.next().unwrap_or_default(), parts.next());
    match port {
        Some(port) if !port.contains(&b':') => {
            let host = authority.get(..bracket + before.len()).unwrap_or_default();
            let is_literal = host.first() == Some(&b'[');
            if is_literal == (host.last() == Some(&b']')) {
                host
            } else {
                authority
            }
        }
        _ => authority,
    }
}

/// The index of the first such byte, else the length.
fn position(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| wanted(byte)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("test data is text")
    }

    #[test]
    fn the_four_forms() {
        // target, path, authority
        let table: [(&str, Option<&str>, Option<&str>); 31] = [
            ("/", Some("/"), None),
            ("/a/b?c=/d", Some("/a/b"), None),
            ("/a#b", Some("/a"), None),
            ("/?", Some("/"), None),
            ("//a.example/b", Some("//a.example/b"), None),
            ("/http://a.example/b", Some("/http://a.example/b"), None),
            ("*", None, None),
            ("http://a.example/b?c", Some("/b"), Some("a.example")),
            ("HTTPS://a.example:443", Some("/"), Some("a.example:443")),
            ("http://a.example?b/c", Some("/"), Some("a.example")),
            ("http://a.example#b", Some("/"), Some("a.example")),
            ("http://u:p@a.example/", Some("/"), Some("u:p@a.example")),
            ("http://[::1]:80/x", Some("/x"), Some("[::1]:80")),
            ("x+y-z.1://a", Some("/"), Some("a")),
            ("http:///a", Some("/a"), None),
            ("http:/a?b", Some("/a"), None),
            ("x:/a", Some("/a"), None),
            ("http://", Some("/"), None),
            ("http:a", None, None),
            ("1http://a/b", None, None),
            ("ht_tp://a/b", None, None),
            ("://a/b", None, None),
            ("a.example:443", None, None),
            ("[::1]:443", None, None),
            ("a.example:", None, None),
            ("a.example", None, None),
            (":443", None, None),
            ("a.example:x", None, None),
            ("a?b:443", None, None),
            ("u@a.example:443", None, None),
            ("", None, None),
        ];
        for (target, path, authority) in table {
            assert_eq!(path_of(target.as_bytes()).map(text), path, "path of {target:?}");
            assert_eq!(authority_of(target.as_bytes()).map(text), authority, "authority of {target:?}");
        }
    }

    #[test]
    fn targets_of_connect() {
        for (target, authority, path) in [
            ("a.example:443", Some("a.example:443"), None),
            ("a.example", Some("a.example"), None),
            ("[::1]:443", Some("[::1]:443"), None),
            ("/x", None, Some("/x")),
            ("/x?y", None, Some("/x")),
            ("a.example/x", Some("a.example"), Some("/x")),
            ("a.example:80/x#y", Some("a.example:80"), Some("/x")),
            ("a.example?/x", Some("a.example"), None),
            ("http://a.example/x", Some("http:"), Some("//a.example/x")),
            ("*", Some("*"), None),
            ("", None, None),
        ] {
            let (seen_authority, seen_path) = connect_parts(target.as_bytes());
            assert_eq!((seen_authority.map(text), seen_path.map(text)), (authority, path), "{target:?}");
        }
    }

    #[test]
    fn hosts() {
        for (authority, host) in [
            ("a.example", "a.example"),
            ("A.Example:8080", "A.Example"),
            ("a.example.", "a.example"),
            ("a.example.:443", "a.example"),
            ("a.example..", "a.example."),
            ("a.example:", "a.example"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("[::1]:", "[::1]"),
            ("[::1].", "[::1]."),
            ("user@a.example:80", "a.example"),
            ("user:pass@[::1]:80", "[::1]"),
            ("a.example@b.example", "b.example"),
            ("a@b@c", "c"),
            ("a.example:80@b.example:90", "b.example"),
            ("::1", "::1"),
            ("a:80:90", "a:80:90"),
            ("a.example:http", "a.example"),
            ("a.example.:x", "a.example"),
            ("a.example:80 ", "a.example"),
            ("[::1]:x", "[::1]"),
            ("user@a.example:x", "a.example"),
            ("[::1]x:80", "[::1]x:80"),
            ("[::1:80", "[::1:80"),
            ("x]:80", "x]:80"),
            ("[:80", "[:80"),
            (":80", ""),
            (".", ""),
            ("", ""),
        ] {
            assert_eq!(text(host_of(authority.as_bytes())), host, "host of {authority:?}");
        }
    }
}
