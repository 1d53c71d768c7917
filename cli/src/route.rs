//! A route as the command line writes it: `TERM(,TERM)*=BACKEND`.

use std::fmt;

use oneport_core::{matchers, Matcher};

use crate::address::{Address, Backend};
use crate::fault::Fault;
use crate::term::Condition;
use crate::text::{decode, span_of, string_of, Escaped, Symbol};

/// Conditions that must all hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Match(Vec<Condition>);

/// A match and where it leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Route {
    pub(crate) conditions: Match,
    pub(crate) backend: Backend,
}

impl Match {
    /// Reads `TERM(,TERM)*`.
    ///
    /// # Errors
    /// What is wrong and where.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        Self::parse_symbols(&decode(text)?)
    }

    /// Both of two lists.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    fn parse_symbols(symbols: &[Symbol]) -> Result<Self, Fault> {
        let mut start = symbols.first().map_or(0, |symbol| symbol.at.start);
        let mut conditions = Vec::new();
        for term in symbols.split(|symbol| symbol.is(b',')) {
            conditions.push(Condition::parse(term, start)?);
            // Behind the term comes the comma, one byte.
            start = span_of(term, start).end + 1;
        }
        Ok(Self(conditions))
    }

    pub(crate) fn conditions(&self) -> &[Condition] {
        &self.0
    }

    pub(crate) fn matcher(&self) -> Matcher {
        match &self.0[..] {
            [only] => only.matcher(),
            conditions => matchers::all(conditions.iter().map(Condition::matcher)),
        }
    }
}

impl Route {
    /// Reads `MATCH=BACKEND`; the last `=` without a backslash separates the two.
    ///
    /// # Errors
    /// What is wrong and where.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let symbols = decode(text)?;
        let Some(separator) = symbols.iter().rposition(|symbol| symbol.is(b'=')) else {
            let message = "a route is MATCH=BACKEND, as in `grpc=127.0.0.1:50051`; here is no `=`";
            return Err(Fault::new(0..text.len(), message));
        };
        let (conditions, backend) = (&symbols[..separator], &symbols[separator + 1..]);
        // The match first: its mistakes are the more likely ones, and are read first.
        let conditions = Match::parse_symbols(conditions)?;
        let backend_start = symbols[separator].at.end;
        let backend_text = string_of(backend)?;
        let backend = Backend::parse(&backend_text).map_err(|fault| {
            // From the decoded text back to how it was written.
            let at = |byte: usize| backend.get(byte).map_or(text.len(), |symbol| symbol.at.start);
            Fault { at: at(fault.at.start).max(backend_start)..at(fault.at.end), ..fault }
        })?;
        Ok(Self { conditions, backend })
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, condition) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            condition.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.conditions)?;
        match &self.backend {
            Backend::Server(Address::Unix(path)) => {
                write!(f, "unix:{}", Escaped(path.as_os_str().as_encoded_bytes(), b""))
            }
            backend => backend.fmt(f),
        }
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
