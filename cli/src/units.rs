//! Durations and sizes as people write them: `5ms`, `1h30m`, `64KiB`.

use std::time::Duration;

/// Units of time, from the largest, with their length in microseconds.
const TIMES: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Units of size, from the largest.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A duration: whole numbers with units, the larger one first (`75s`, `1h30m`), or `0`.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut next_unit = 0;
    if rest.is_empty() {
        return Err(no_duration(text));
    }
    while !rest.is_empty() {
        let (number, behind) = digits(rest).ok_or_else(|| no_duration(text))?;
        let unit_len = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_len);
        if unit.is_empty() {
            return Err(if behind.is_empty() {
                format!("`{text}` has no unit; write for example {number}ms, {number}s or {number}m")
            } else {
                no_duration(text)
            });
        }
        let at = TIMES.iter().position(|(name, _)| *name == unit).ok_or_else(|| {
            format!("`{unit}` in `{text}` is no unit of time; they are us, ms, s, m, h and d")
        })?;
        if at < next_unit {
            return Err(format!("the units of `{text}` do not go from large to small"));
        }
        next_unit = at + 1;
        total = number
            .checked_mul(TIMES[at].1)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("`{text}` is too long"))?;
        rest = behind;
    }
    Ok(Duration::from_micros(total))
}

fn no_duration(text: &str) -> String {
    format!("`{text}` is no duration; write for example 5ms, 75s or 1h30m")
}

/// A size in bytes: a whole number, alone or with a unit (`64KiB`).
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) =
        digits(text).ok_or_else(|| format!("`{text}` is no size; write for example 4096, 64KiB or 32MiB"))?;
    let factor = match unit {
        "" => 1,
        unit => SIZES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(|| {
            format!("`{unit}` in `{text}` is no unit of size; they are B, KiB, MiB and GiB")
        })?,
    };
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"))
}

/// A count: a whole number.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    match digits(text) {
        Some((number, "")) => Ok(number),
        _ => Err(format!("`{text}` is no whole number")),
    }
}

/// The number at the start, `_` between its digits allowed, and what follows it.
fn digits(text: &str) -> Option<(u64, &str)> {
    let len = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, rest) = text.split_at(len);
    if number.starts_with('_') || number.ends_with('_') {
        return None;
    }
    Some((number.replace('_', "").parse().ok()?, rest))
}

/// A duration as [`parse_duration`] reads it, to the microsecond.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0".to_owned();
    }
    // `35m` and `90s` read better than `2100s` and `1m30s`.
    for (unit, length) in TIMES {
        if rest.is_multiple_of(length) && rest / length < 1_000 {
            return format!("{}{unit}", rest / length);
        }
    }
    let mut shown = String::new();
    for (unit, length) in TIMES {
        if rest >= length {
            shown.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    shown
}

/// A size as [`parse_size`] reads it.
pub(crate) fn show_size(size: u64) -> String {
    match SIZES.iter().find(|(_, factor)| size > 0 && size.is_multiple_of(*factor)) {
        Some((unit, factor)) if *factor > 1 => format!("{}{unit}", size / factor),
        _ => size.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        for (text, micros) in [
            ("0", 0),
            ("0s", 0),
            ("5ms", 5_000),
            ("75s", 75_000_000),
            ("35m", 2_100_000_000),
            ("1h30m", 5_400_000_000),
            ("1_000us", 1_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for (text, part) in [
            ("", "is no duration"),
            ("5", "has no unit"),
            ("5x", "`x` in `5x` is no unit of time"),
            ("5min", "`min` in `5min` is no unit"),
            ("-5s", "is no duration"),
            ("1.5s", "is no duration"),
            ("5s3h", "from large to small"),
            ("5s5s", "from large to small"),
            ("99999999999999999d", "too long"),
            ("99999999999999999999999s", "is no duration"),
            ("5 s", "is no duration"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("64KiB", 65_536), ("32MiB", 1 << 25), ("7B", 7)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for (text, part) in [
            ("", "is no size"),
            ("64KB", "`KB` in `64KB`"),
            ("-1", "is no size"),
            ("99999999999GiB", "too large"),
        ] {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!(parse_count("1_024"), Ok(1024));
        assert!(parse_count("1k").is_err() && parse_count("").is_err() && parse_count("_1").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(micros in 0..u64::MAX / 2, size: u64) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&show_size(size)), Ok(size));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (parse_duration(&text), parse_size(&text), parse_count(&text));
        }
    }
}
