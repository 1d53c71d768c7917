//! `docs/command.md` says what is true.

use crate::config;
use crate::limits::{Limits, LIMITS};

const PAGE: &str = include_str!("../../docs/command.md");

#[test]
fn every_limit_is_on_the_page_with_its_default() {
    for limit in &LIMITS {
        let row = format!("| `--{}` | {} |", limit.name, (limit.get)(&Limits::default()));
        assert!(PAGE.contains(&row), "no row `{row}`");
    }
}

#[test]
fn the_configuration_on_the_page_is_read() {
    let (_, rest) = PAGE.split_once("```toml\n").expect("a configuration");
    let (text, _) = rest.split_once("```").expect("its end");
    let draft = config::parse("oneport.toml", text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(draft.routes.len(), 2);
    assert!(draft.plan(&crate::table::Environment::default()).is_ok());
}
