//! Whether a header list is a well-formed message (RFC 9113 §8): what is malformed is never passed on, since the next one on
//! the way might read it otherwise.

use super::fields::Fields;
use crate::wire::hpack::Field;

/// A header list that is no message; a stream error (RFC 9113 §8.1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed;

/// What the machine has to know of a request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct RequestHead {
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
    /// CONNECT with `:protocol` (RFC 8441 §4).
    pub(super) is_extended_connect: bool,
    pub(super) content_length: Option<u64>,
}

/// What the machine has to know of a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    pub(super) content_length: Option<u64>,
}

impl ResponseHead {
    /// Whether another response follows it (RFC 9110 §15.2).
    pub(super) const fn is_informational(&self) -> bool {
        self.status < 200
    }
}

/// RFC 9113 §8.3.1, §8.5; RFC 8441 §4.
pub(super) fn request(fields: &Fields, extended_connect: bool) -> Result<RequestHead, Malformed> {
    let (mut method, mut scheme, mut path, mut authority, mut protocol) = (None, None, None, None, None);
    let (mut host, mut content_length, mut is_behind) = (None, None, false);
    for field in fields.iter() {
        if field.name.first() == Some(&b':') {
            let slot = match field.name {
                b":authority" => &mut authority,
                b":method" => &mut method,
                b":path" => &mut path,
                b":protocol" => &mut protocol,
                b":scheme" => &mut scheme,
                _ => return Err(Malformed),
            };
            if is_behind || !is_text(field.value) || slot.replace(field.value).is_some() {
                return Err(Malformed);
            }
            continue;
        }
        is_behind = true;
        check_field(&field)?;
        match field.name {
            b"content-length" => set_content_length(&mut content_length, field.value)?,
            b"host" if host.replace(field.value).is_some() => return Err(Malformed),
            _ => {}
        }
    }
    let method: &[u8] = method.ok_or(Malformed)?;
    let is_connect = method == b"CONNECT";
    if !is_token(method) || (protocol.is_some() && !(is_connect && extended_connect)) {
        return Err(Malformed);
    }
    if is_connect && protocol.is_none() {
        if scheme.is_some() || path.is_some() || authority.is_none() {
            return Err(Malformed);
        }
    } else {
        let scheme: &[u8] = scheme.ok_or(Malformed)?;
        let path: &[u8] = path.ok_or(Malformed)?;
        let is_asterisk = path == b"*" && method == b"OPTIONS";
        if !is_scheme(scheme) || !(is_asterisk || path.starts_with(b"/") && path.iter().all(|b| *b > b' ')) {
            return Err(Malformed);
        }
        if protocol.is_some_and(|protocol: &[u8]| !is_token(protocol) || authority.is_none()) {
            return Err(Malformed);
        }
    }
    for name in [authority, host].into_iter().flatten() {
        if !is_authority(name) {
            return Err(Malformed);
        }
    }
    if let (Some(authority), Some(host)) = (authority, host) {
        // A router that believed one while the backend believed the other would be a way around its routes.
        if !authority.eq_ignore_ascii_case(host) {
            return Err(Malformed);
        }
    }
    let is_head = method == b"HEAD";
    Ok(RequestHead { is_head, is_connect, is_extended_connect: protocol.is_some(), content_length })
}

/// RFC 9113 §8.3.2.
pub(super) fn response(fields: &Fields) -> Result<ResponseHead, Malformed> {
    let (mut status, mut content_length, mut is_behind) = (None, None, false);
    for field in fields.iter() {
        if field.name.first() == Some(&b':') {
            let number = status_code(field.value).ok_or(Malformed)?;
            if field.name != b":status" || is_behind || status.replace(number).is_some() {
                return Err(Malformed);
            }
            continue;
        }
        is_behind = true;
        check_field(&field)?;
        if field.name == b"content-length" {
            set_content_length(&mut content_length, field.value)?;
        }
    }
    match status {
        // RFC 9113 §8.6: there is no switching of protocols.
        None | Some(101) => Err(Malformed),
        Some(status) => Ok(ResponseHead { status, content_length }),
    }
}

/// RFC 9113 §8.1: trailers have no pseudo-fields.
pub(super) fn trailers(fields: &Fields) -> Result<(), Malformed> {
    fields.iter().try_for_each(|field| check_field(&field))
}

/// RFC 9113 §8.2.1, §8.2.2.
fn check_field(field: &Field<'_>) -> Result<(), Malformed> {
    let is_name = !field.name.is_empty() && field.name.iter().all(|byte| NAME[usize::from(*byte)]);
    if !is_name || !is_value(field.value) {
        return Err(Malformed);
    }
    match field.name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Err(Malformed)
        }
        b"te" if !field.value.eq_ignore_ascii_case(b"trailers") => Err(Malformed),
        _ => Ok(()),
    }
}

/// The field as it is passed on: without blanks around its value, which make a message malformed (RFC 9113 §8.2.1) but are not
/// part of a value anyway (RFC 9110 §5.5). gRPC servers send them, in the `grpc-message` of an error whose text ends in one. Those
/// that frame or route a message stay as they came, and malformed.
pub(super) fn without_blanks(mut field: Field<'_>) -> Field<'_> {
    let is_strict = field.name.first() == Some(&b':') || matches!(field.name, b"content-length" | b"host");
    if !is_strict {
        while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = field.value {
            field.value = rest;
        }
    }
    field
}

/// RFC 9110 §8.6. Repeated ones are refused, alike or not.
fn set_content_length(slot: &mut Option<u64>, value: &[u8]) -> Result<(), Malformed> {
    if value.is_empty() || slot.is_some() {
        return Err(Malformed);
    }
    let mut number = 0u64;
    for byte in value {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10).ok_or(Malformed)?;
        number = number.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit))).ok_or(Malformed)?;
    }
    *slot = Some(number);
    Ok(())
}

fn status_code(value: &[u8]) -> Option<u16> {
    match *value {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => None,
    }
}

/// No NUL, CR, LF, and no blanks around it (RFC 9113 §8.2.1).
fn is_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_blank(value.first())
        && !is_blank(value.last())
        && !value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n'))
}

/// As a value, and without other control characters.
fn is_text(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte >= b' ' && *byte != 0x7f) && is_value(value)
}

fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Nothing that ends an authority or hides one in it (RFC 3986 §3.2; RFC 9113 §8.3.1 forbids user information), and no port that is
/// none: some servers pass over it, and others do not. Behind more than one colon there is no port: gRPC clients that were given a
/// list of addresses call it so.
fn is_authority(name: &[u8]) -> bool {
    let is_part =
        !name.iter().any(|byte| matches!(byte, 0..=b' ' | b'/' | b'?' | b'#' | b'@' | b'\\' | 0x7f));
    let behind_address = name.rsplit(|byte| *byte == b']').next().unwrap_or_default();
    let mut parts = behind_address.split(|byte| *byte == b':').skip(1);
    let is_port = |port: &[u8]| port.iter().all(u8::is_ascii_digit);
    is_part && (parts.next().map_or(true, is_port) || parts.next().is_some())
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| NAME[usize::from(*byte)] || byte.is_ascii_uppercase())
}

/// Characters of a field name on HTTP/2: those of a token (RFC 9110 §5.6.2) in lower case.
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    let mut at = 0;
    while at < allowed.len() {
        table[allowed[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Fields {
        let mut fields = Fields::default();
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            let at = 1 + line[1..].find('=').unwrap();
            let (name, value) = (&line.as_bytes()[..at], &line.as_bytes()[at + 1..]);
            fields.push(&Field { name, value, never_indexed: false });
        }
        fields
    }

    const GET: &str = ":method=GET\n:scheme=http\n:path=/\n:authority=a";

    #[test]
    fn requests_that_are_well_formed() {
        for (text, extended) in [
            (":method=GET\n:scheme=http\n:path=/\n", false),
            (":method=GET\n:scheme=https\n:path=/a?b=c\nhost=a", false),
            (":authority=A:80\n:method=POST\n:scheme=http\n:path=/\nhost=a:80\nte=Trailers\ncookie=a\ncookie=b", false),
            (":method=OPTIONS\n:scheme=http\n:path=*\n", false),
            (":method=CONNECT\n:authority=a:1\n", false),
            (":method=GET\n:scheme=http\n:path=/\n:authority=[::1]:80", false),
            (":method=GET\n:scheme=http\n:path=/\n:authority=10.0.0.1:80,10.0.0.2:80", false),
            (":method=GET\n:scheme=http\n:path=/\n:authority=a:", false),
            (":method=CONNECT\n:protocol=websocket\n:scheme=http\n:path=/\n:authority=a\n", true),
        ] {
            assert!(request(&list(text), extended).is_ok(), "{text}");
        }
        let head = request(&list(&format!("{GET}\ncontent-length=18446744073709551615")), false).unwrap();
        assert_eq!(head.content_length, Some(u64::MAX));
    }

    #[test]
    fn requests_that_are_malformed() {
        for text in [
            "",
            ":method=GET\n:scheme=http\n",
            ":method=GET\n:path=/\n",
            ":scheme=http\n:path=/\n",
            ":method=GET\n:method=GET\n:scheme=http\n:path=/\n",
            ":method=GET\n:scheme=http\n:path=/\n:path=/b\n",
            ":method=GET\n:scheme=http\nx=y\n:path=/\n",
            ":method=GET\n:scheme=http\n:path=/\n:status=200",
            ":method=GET\n:scheme=http\n:path=/\n:x=y",
            ":method=GET\n:scheme=http\n:path=",
            ":method=GET\n:scheme=http\n:path=*",
            ":method=GET\n:scheme=http\n:path=a",
            ":method=GET\n:scheme=http\n:path=/a b",
            ":method=G T\n:scheme=http\n:path=/",
            ":method=GET\n:scheme=h/t\n:path=/",
            ":method=GET\n:scheme=http\n:path=/\n:authority=u@a",
            ":method=GET\n:scheme=http\n:path=/\n:authority=a\nhost=b",
            ":method=GET\n:scheme=http\n:path=/\nhost=a\nhost=a",
            ":method=CONNECT\n:scheme=http\n:authority=a",
            ":method=CONNECT\n:path=/\n:authority=a",
            ":method=CONNECT",
            ":method=CONNECT\n:protocol=websocket\n:scheme=http\n:path=/\n:authority=a\n",
            ":method=GET\n:protocol=websocket\n:scheme=http\n:path=/\n:authority=a\n",
            // Control characters in values that other fields may have them in (RFC 9110 §5.5).
            ":method=GET\n:scheme=http\n:path=/a\x7f",
            ":method=GET\n:scheme=http\n:path=/\x01",
            ":method=GET\n:scheme=http\n:path=/\n:authority=a\x7f",
            ":method=GET\n:scheme=http\n:path=/\n:authority=a:x",
            ":method=GET\n:scheme=http\n:path=/\n:authority=[::1]:x",
            ":method=GET\n:scheme=http\n:path=/\n:authority=a\nhost=a:x",
            ":method=GET\n:scheme=http\n:path=/ ",
        ] {
            assert_eq!(request(&list(text), false), Err(Malformed), "{text}");
        }
        for text in [
            ":method=CONNECT\n:protocol=web socket\n:scheme=http\n:path=/\n:authority=a\n",
            ":method=CONNECT\n:protocol=\n:scheme=http\n:path=/\n:authority=a\n",
            ":method=CONNECT\n:protocol=websocket\n:scheme=http\n:path=/\n",
            ":method=CONNECT\n:protocol=websocket\n:scheme=http\n:authority=a\n",
        ] {
            assert_eq!(request(&list(text), true), Err(Malformed), "{text}");
        }
        for field in [
            "connection=close",
            "Connection=x",
            "keep-alive=1",
            "proxy-connection=x",
            "transfer-encoding=chunked",
            "upgrade=h2c",
            "te=gzip",
            "te=trailers, gzip",
            "X=y",
            "x y=z",
            "x= y",
            "x=y ",
            "x=\ty",
            "x=a\0b",
            "x=a\rb",
            "content-length=1\ncontent-length=1",
            "content-length=1\ncontent-length=2",
            "content-length=+1",
            "content-length=",
            "content-length=1, 1",
            "content-length=-1",
            "content-length=1:",
            "content-length=/1",
            "content-length=18446744073709551616",
        ] {
            assert_eq!(request(&list(&format!("{GET}\n{field}")), false), Err(Malformed), "{field}");
        }
    }

    #[test]
    fn responses() {
        let good = response(&list(":status=200\ncontent-length=7\nx=")).unwrap();
        assert_eq!(good, ResponseHead { status: 200, content_length: Some(7) });
        assert!(response(&list(":status=103\nlink=x")).unwrap().is_informational());
        for status in [100, 109, 190, 199, 234, 418, 599, 987, 999] {
            assert_eq!(response(&list(&format!(":status={status}"))).unwrap().status, status);
        }
        for text in [
            "",
            "x=y",
            ":status=20",
            ":status=2000",
            ":status=099",
            ":status=101",
            ":status=2x0",
            "x=y\n:status=200",
            ":status=200\n:status=200",
            ":method=GET",
            ":status=200\n:path=/",
            ":status=200\nconnection=close",
            ":status=200\ncontent-length=x",
        ] {
            assert_eq!(response(&list(text)), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn trailers_have_no_pseudo_fields() {
        assert_eq!(trailers(&list("grpc-status=0\ngrpc-message=")), Ok(()));
        assert_eq!(trailers(&list(":status=200")), Err(Malformed));
        assert_eq!(trailers(&list("upgrade=x")), Err(Malformed));
    }
}
