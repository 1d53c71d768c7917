//! `oneport.toml`, read by hand from a parsed document, so that every mistake is named with its line, its column and its word.

use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::Spanned;

use crate::address::{Address, Backend};
use crate::errors::Error;
use crate::fault::Fault;
use crate::limits::{Limits, LIMITS};
use crate::route::{Match, Route};
use crate::suggest::did_you_mean;
use crate::table::Draft;
use crate::{greeting, units};

/// A configuration is read whole; one that is larger is some other file.
const MAX_FILE: u64 = 1 << 20;

const KEYS: [&str; 10] = [
    "drain",
    "greeting",
    "limits",
    "listen",
    "on_timeout",
    "otherwise",
    "per_request",
    "route",
    "server_first",
    "splice",
];

type Value<'i> = Spanned<DeValue<'i>>;

/// Reads a configuration.
///
/// # Errors
/// The first mistake, with its place.
pub(crate) fn read(path: &Path) -> Result<Draft, Error> {
    let file = path.display().to_string();
    let cannot = |error: std::io::Error| Error::usage(format!("can not read {file}: {error}"));
    let size = std::fs::metadata(path).map_err(cannot)?.len();
    if size > MAX_FILE {
        return Err(Error::usage(format!("{file} has {size} bytes; a configuration has at most {MAX_FILE}")));
    }
    let bytes = std::fs::read(path).map_err(cannot)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let lossy = String::from_utf8_lossy(error.as_bytes()).into_owned();
        Error::usage(Fault::new(at..at + 1, "this is no UTF-8").in_file(&file, &lossy))
    })?;
    parse(&file, &text)
}

/// Reads the text of a configuration; `file` is its name in messages.
///
/// # Errors
/// The first mistake, with its place.
pub(crate) fn parse(file: &str, text: &str) -> Result<Draft, Error> {
    let reader = Reader { file, text };
    reader.document().map_err(|fault| Error::usage(fault.in_file(file, text)))
}

struct Reader<'i> {
    file: &'i str,
    text: &'i str,
}

impl<'i> Reader<'i> {
    fn document(&self) -> Result<Draft, Fault> {
        let document = DeTable::parse(self.text).map_err(|error| {
            let at = error.span().unwrap_or(0..0);
            Fault::new(at, error.message().lines().collect::<Vec<_>>().join(", "))
        })?;
        let mut draft = Draft::default();
        for (key, value) in self.entries(document.get_ref(), &KEYS, "the configuration")? {
            match key {
                "drain" => {
                    draft.drain = self.converted(value, "a duration, as in \"8s\"", units::parse_duration)?;
                }
                "greeting" => {
                    let form = "SETTINGS, as in \"max-concurrent-streams=100\"";
                    draft.limits.mux.greeting = self.converted(value, form, greeting::parse)?;
                }
                "limits" => self.limits(value, &mut draft.limits)?,
                "listen" => {
                    let parse = |value| {
                        self.parsed(value, "an address, as in \"127.0.0.1:8080\"", Address::parse_listen)
                    };
                    draft.listen = one_or_more(value).map(parse).collect::<Result<_, _>>()?;
                }
                "on_timeout" => draft.on_timeout = Some(self.backend(value)?),
                "otherwise" => draft.otherwise = Some(self.backend(value)?),
                "per_request" => draft.per_request = self.flag(value)?,
                "route" => self.routes(value, &mut draft)?,
                "splice" => draft.splice = self.flag(value)?,
                _ => draft.server_first = Some(self.server_first(value)?),
            }
        }
        Ok(draft)
    }

    fn routes(&self, value: &Value<'i>, draft: &mut Draft) -> Result<(), Fault> {
        let Some(routes) = value.get_ref().as_array() else {
            return Err(Fault::new(value.span(), "routes are a list; write `[[route]]` with two brackets"));
        };
        for value in routes.iter() {
            let route = self.table(value, "a table with `match` and `backend`")?;
            let (mut conditions, mut backend) = (None, None);
            for (key, value) in self.entries(route, &["backend", "match"], "a route")? {
                match key {
                    "match" => conditions = Some(self.conditions(value)?),
                    _ => backend = Some(self.backend(value)?),
                }
            }
            let conditions = conditions.ok_or_else(|| {
                Fault::new(value.span(), "this route has no `match`; `match = \"any\"` takes everything")
            })?;
            let backend = backend.ok_or_else(|| {
                Fault::new(value.span(), "this route has no `backend`, as in \"127.0.0.1:3000\"")
            })?;
            let line = 1 + self.text[..value.span().start].matches('\n').count();
            draft.routes.push((Route { conditions, backend }, format!("{}:{line}", self.file)));
        }
        Ok(())
    }

    fn conditions(&self, value: &Value<'i>) -> Result<Match, Fault> {
        let parse = |value| self.parsed(value, "a term, as in \"grpc\"", Match::parse);
        let mut conditions: Option<Match> = None;
        for value in one_or_more(value) {
            let next = parse(value)?;
            conditions = Some(match conditions {
                Some(conditions) => conditions.and(next),
                None => next,
            });
        }
        conditions.ok_or_else(|| Fault::new(value.span(), "a match needs a term; `any` takes everything"))
    }

    fn server_first(&self, value: &Value<'i>) -> Result<(Backend, std::time::Duration), Fault> {
        let form = "a table, as in { backend = \"127.0.0.1:3306\", after = \"300ms\" }";
        let table = self.table(value, form)?;
        let (mut backend, mut after) = (None, None);
        for (key, value) in self.entries(table, &["after", "backend"], "`server_first`")? {
            match key {
                "after" => {
                    after =
                        Some(self.converted(value, "a duration, as in \"300ms\"", units::parse_duration)?);
                }
                _ => backend = Some(self.backend(value)?),
            }
        }
        backend.zip(after).ok_or_else(|| Fault::new(value.span(), format!("`server_first` is {form}")))
    }

    fn limits(&self, value: &Value<'i>, limits: &mut Limits) -> Result<(), Fault> {
        let table = self.table(value, "a table: `[limits]`")?;
        let names: Vec<String> = LIMITS.iter().map(|limit| limit.name.replace('-', "_")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for (key, value) in self.entries(table, &names, "`[limits]`")? {
            let Some(limit) = names.iter().position(|name| *name == key).map(|index| &LIMITS[index]) else {
                continue;
            };
            let default = (limit.get)(&Limits::default());
            let parsed = match value.get_ref().as_integer() {
                Some(number) => limit
                    .parse(&without_sign(number.as_str(), number.radix()))
                    .map_err(|message| Fault::new(value.span(), message))?,
                None => self.converted(value, &format!("as in {default:?}"), |text| limit.parse(text))?,
            };
            limit.set(limits, parsed);
        }
        Ok(())
    }

    fn flag(&self, value: &Value<'i>) -> Result<bool, Fault> {
        value.get_ref().as_bool().ok_or_else(|| self.wrong_type(value, "true or false"))
    }

    fn backend(&self, value: &Value<'i>) -> Result<Backend, Fault> {
        self.parsed(value, "a backend, as in \"127.0.0.1:3000\"", Backend::parse)
    }

    /// The entries of a table in the order of the file, all of them known.
    fn entries<'t>(
        &self,
        table: &'t DeTable<'i>,
        known: &[&str],
        place: &str,
    ) -> Result<Vec<(&'t str, &'t Value<'i>)>, Fault> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, _) in &entries {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let meant = did_you_mean(&name.replace('-', "_"), known.iter().copied());
                let hint = match &*meant {
                    "" if known.len() <= KEYS.len() => format!("; it has {}", known.join(", ")),
                    _ => meant,
                };
                return Err(Fault::new(key.span(), format!("{place} has no `{name}`{hint}")));
            }
        }
        Ok(entries.into_iter().map(|(key, value)| (key.get_ref().as_ref(), value)).collect())
    }

    fn table<'t>(&self, value: &'t Value<'i>, wanted: &str) -> Result<&'t DeTable<'i>, Fault> {
        value.get_ref().as_table().ok_or_else(|| self.wrong_type(value, wanted))
    }

    /// A string, read by a parser that knows places in it.
    fn parsed<T>(
        &self,
        value: &Value<'i>,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let text = value.get_ref().as_str().ok_or_else(|| self.wrong_type(value, wanted))?;
        parse(text).map_err(|fault| {
            // Where the string stands as it is, places in it are places in the file; with TOML's escapes they are not.
            let raw = self.text.get(value.span()).unwrap_or_default();
            match raw.find(text).filter(|_| !text.is_empty()) {
                Some(offset) => fault.shifted(value.span().start + offset),
                None => Fault { at: value.span(), ..fault },
            }
        })
    }

    /// A string, read by a parser that does not.
    fn converted<T>(
        &self,
        value: &Value<'i>,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Fault> {
        let text = value.get_ref().as_str().ok_or_else(|| self.wrong_type(value, wanted))?;
        parse(text).map_err(|message| Fault::new(value.span(), message))
    }

    fn wrong_type(&self, value: &Value<'i>, wanted: &str) -> Fault {
        let found = value.get_ref().type_str();
        Fault::new(value.span(), format!("this should be {wanted}, not of type {found}"))
    }
}

/// The values of an array, or the one that stands in its place.
fn one_or_more<'t, 'i>(value: &'t Value<'i>) -> impl Iterator<Item = &'t Value<'i>> {
    match value.get_ref().as_array() {
        Some(values) => &values[..],
        None => std::slice::from_ref(value),
    }
    .iter()
}

/// An integer of the file as the parsers of limits read it.
fn without_sign(digits: &str, radix: u32) -> String {
    match (radix, u64::from_str_radix(digits, radix)) {
        (10, _) | (_, Err(_)) => digits.strip_prefix('+').unwrap_or(digits).to_owned(),
        (_, Ok(number)) => number.to_string(),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
