//! A request head of HTTP/1, read from all bytes at once: the naive counterpart of the incremental scanner.

use oneport_core::Fact;

use super::terms::{Fields, Request};

/// Why reading ends early.
enum Stop {
    More,
    Wrong,
}

/// What some bytes say of HTTP/1.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Method and target.
    pub(crate) line: Fact<(Vec<u8>, Vec<u8>)>,
    pub(crate) request: Fact<Request>,
    /// Whether the head needs more bytes than there may be.
    pub(crate) is_too_long: bool,
}

/// Reads the head at the start of `bytes`, of which `limit` may be a part of it.
pub(crate) fn read(bytes: &[u8], limit: usize) -> Reading {
    let reach = &bytes[..bytes.len().min(limit)];
    let mut reader = Reader { rest: reach };
    let line = reader.line();
    let fields = match &line {
        Ok(_) => reader.fields(),
        Err(Stop::More) => Err(Stop::More),
        Err(Stop::Wrong) => Err(Stop::Wrong),
    };
    let is_too_long = matches!(fields, Err(Stop::More)) && bytes.len() >= limit;
    let request = match (&line, fields) {
        (Ok((method, target)), Ok(fields)) => Fact::Present(Request::http1(method, target, fields)),
        (_, Err(Stop::More)) => Fact::Unknown,
        (_, Ok(_) | Err(Stop::Wrong)) => Fact::Absent,
    };
    let line = match line {
        Ok(line) => Fact::Present(line),
        Err(Stop::More) => Fact::Unknown,
        Err(Stop::Wrong) => Fact::Absent,
    };
    Reading { line, request, is_too_long }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn next(&mut self) -> Result<u8, Stop> {
        let (&byte, rest) = self.rest.split_first().ok_or(Stop::More)?;
        self.rest = rest;
        Ok(byte)
    }

    fn exactly(&mut self, wanted: u8) -> Result<(), Stop> {
        if self.next()? == wanted {
            Ok(())
        } else {
            Err(Stop::Wrong)
        }
    }

    /// Whether this byte ends a line, alone or with the next one.
    fn is_line_end(&mut self, byte: u8) -> Result<bool, Stop> {
        match byte {
            b'\n' => Ok(true),
            b'\r' => self.exactly(b'\n').map(|()| true),
            _ => Ok(false),
        }
    }

    fn line(&mut self) -> Result<(Vec<u8>, Vec<u8>), Stop> {
        let mut byte = self.next()?;
        if self.is_line_end(byte)? {
            byte = self.next()?;
        }
        let mut method = Vec::new();
        while is_token(byte) && method.len() < 32 {
            method.push(byte);
            byte = self.next()?;
        }
        if method.is_empty() || byte != b' ' {
            return Err(Stop::Wrong);
        }
        let mut target = Vec::new();
        loop {
            match self.next()? {
                b' ' if !target.is_empty() => break,
                0..=b' ' | 0x7f => return Err(Stop::Wrong),
                byte => target.push(byte),
            }
        }
        for wanted in *b"HTTP/1." {
            self.exactly(wanted)?;
        }
        if !matches!(self.next()?, b'0' | b'1') {
            return Err(Stop::Wrong);
        }
        let byte = self.next()?;
        if !self.is_line_end(byte)? {
            return Err(Stop::Wrong);
        }
        Ok((method, target))
    }

    fn fields(&mut self) -> Result<Fields, Stop> {
        let mut fields = Vec::new();
        loop {
            let mut byte = self.next()?;
            if self.is_line_end(byte)? {
                return Ok(fields);
            }
            let mut name = Vec::new();
            while is_token(byte) {
                name.push(byte);
                byte = self.next()?;
            }
            if name.is_empty() || byte != b':' {
                return Err(Stop::Wrong);
            }
            let mut value = Vec::new();
            loop {
                let byte = self.next()?;
                if self.is_line_end(byte)? {
                    break;
                }
                if byte == 0x7f || (byte < b' ' && byte != b'\t') {
                    return Err(Stop::Wrong);
                }
                value.push(byte);
            }
            let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            let start = value.iter().position(|b| !is_blank(b)).unwrap_or(value.len());
            let end = value.iter().rposition(|b| !is_blank(b)).map_or(start, |at| at + 1);
            fields.push((name, value[start..end].to_vec()));
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
