//! The recorded bytes, and how they come.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use crate::args::Explain;
use crate::errors::Error;

/// Far more than any opening may have; behind the verdict nothing is looked at.
const MAX_INPUT: u64 = 16 << 20;

/// What one read of a socket brings at most.
const READ: usize = 16 * 1024;

/// What happens next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// So many bytes come.
    Bytes(usize),
    /// The client is silent for so long.
    Pause(Duration),
}

/// Reads the input.
pub(super) fn read(options: &Explain) -> Result<Vec<u8>, Error> {
    let name = options.input.display().to_string();
    let cannot = |error: io::Error| Error::usage(format!("can not read {name}: {error}"));
    let mut bytes = Vec::new();
    let mut source: Box<dyn Read> = match name.as_str() {
        "-" => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(&options.input).map_err(cannot)?),
    };
    source.by_ref().take(MAX_INPUT + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Error::usage(format!("{name} has more than {MAX_INPUT} bytes; the opening is enough")));
    }
    match options.hex {
        true => unhex(&bytes).map_err(|message| Error::usage(format!("{name}: {message}"))),
        false => Ok(bytes),
    }
}

/// Decodes hexadecimal digits; blanks and line ends may stand between bytes.
fn unhex(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    let (mut line, mut column) = (1, 0);
    for &byte in text {
        column += 1;
        let digit = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (digit, high) {
            (Some(digit), None) => high = Some(digit),
            (Some(digit), Some(first)) => {
                bytes.push(first << 4 | digit);
                high = None;
            }
            (None, None) if byte.is_ascii_whitespace() => {}
            (None, _) => {
                let shown = byte.escape_ascii();
                return Err(format!(
                    "line {line}, column {column}: `{shown}` is no hexadecimal digit of a byte"
                ));
            }
        }
        if byte == b'\n' {
            (line, column) = (line + 1, 0);
        }
    }
    match high {
        None => Ok(bytes),
        Some(_) => Err("the last byte has only one digit".to_owned()),
    }
}

/// The steps in which `total` bytes come.
pub(super) fn steps(total: usize, options: &Explain) -> Result<Vec<Step>, Error> {
    let mut cuts = Vec::new();
    let mut at: usize = 0;
    for size in &options.segments {
        at = at.saturating_add(*size);
        if at > total {
            return Err(Error::usage(format!("--segments needs {at} bytes, but the input has only {total}")));
        }
        cuts.push(at);
    }
    let mut pauses = options.pause_after.clone();
    pauses.sort_unstable();
    if let Some(beyond) = pauses.last().filter(|at| **at > total) {
        return Err(Error::usage(format!(
            "--pause-after {beyond} is beyond the input, which has {total} bytes"
        )));
    }
    cuts.extend(&pauses);
    cuts.push(total);
    cuts.sort_unstable();
    cuts.dedup();
    let most = if options.bytewise { 1 } else { READ };
    let mut steps = Vec::new();
    let mut at = 0;
    for cut in cuts {
        while at < cut {
            let n = most.min(cut - at);
            steps.push(Step::Bytes(n));
            at += n;
        }
        if pauses.contains(&cut) {
            steps.push(Step::Pause(options.pause));
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Verb};
    use clap::Parser as _;

    fn options(arguments: &[&str]) -> Explain {
        let all = ["oneport", "explain", "--route", "any=a:1"].iter().chain(arguments);
        match Cli::try_parse_from(all).unwrap().verb {
            Verb::Explain(explain) => explain,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bytes_come_as_they_are_asked_to() {
        let pause = Step::Pause(Duration::from_millis(100));
        for (total, arguments, expected) in [
            (5, &[][..], vec![Step::Bytes(5)]),
            (0, &[], vec![]),
            (20_000, &[], vec![Step::Bytes(16_384), Step::Bytes(3_616)]),
            (5, &["--segments", "2,2"], vec![Step::Bytes(2), Step::Bytes(2), Step::Bytes(1)]),
            (2, &["--bytewise"], vec![Step::Bytes(1), Step::Bytes(1)]),
            (5, &["--pause-after", "3"], vec![Step::Bytes(3), pause, Step::Bytes(2)]),
            (5, &["--pause-after", "5", "--segments", "5"], vec![Step::Bytes(5), pause]),
        ] {
            assert_eq!(steps(total, &options(arguments)).unwrap(), expected, "{arguments:?}");
        }
        assert!(steps(5, &options(&["--segments", "3,3"]))
            .unwrap_err()
            .to_string()
            .contains("needs 6 bytes"));
        assert!(steps(5, &options(&["--pause-after", "6"]))
            .unwrap_err()
            .to_string()
            .contains("beyond the input"));
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(unhex(b"50 52\n49\r\n2a"), Ok(b"PRI*".to_vec()));
        assert!(unhex(b"50\n5g").unwrap_err().contains("line 2, column 2: `g`"));
        assert!(unhex(b"5 0").unwrap_err().contains("column 2"));
        assert!(unhex(b"505").unwrap_err().contains("only one digit"));
    }
}
