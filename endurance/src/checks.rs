//! What a scene has found, check by check.

use serde_json::{json, Value};

/// Why a scene has no verdict.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// This machine does not let it be carried out.
    CanNot(String),
    /// It broke off: something did not even begin as it should.
    Broke(String),
}

impl From<String> for Trouble {
    fn from(what: String) -> Self {
        Self::Broke(what)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// What was checked, whether it held, and what was seen.
    pub(crate) all: Vec<(String, bool, String)>,
    /// Tables for the report, in Markdown.
    pub(crate) tables: Vec<String>,
}

impl Checks {
    pub(crate) fn check(&mut self, what: impl Into<String>, holds: bool, seen: impl Into<String>) {
        let (what, seen) = (what.into(), seen.into());
        eprintln!("  {} {what}: {seen}", if holds { "ok    " } else { "FAILED" });
        self.all.push((what, holds, seen));
    }

    /// Something that must have succeeded.
    pub(crate) fn check_ok(&mut self, what: impl Into<String>, result: Result<impl Into<String>, String>) {
        match result {
            Ok(seen) => self.check(what, true, seen),
            Err(error) => self.check(what, false, error),
        }
    }

    pub(crate) fn hold(&self) -> bool {
        !self.all.is_empty() && self.all.iter().all(|(_, holds, _)| *holds)
    }

    pub(crate) fn json(&self) -> Value {
        self.all
            .iter()
            .map(|(what, holds, seen)| json!({"check": what, "holds": holds, "seen": seen}))
            .collect()
    }
}
