//! What is printed once the end is known.

use std::fmt::Write as _;

use oneport_core::{Handover, Parts};

use super::{End, Session};
use crate::check;

impl Session<'_> {
    /// The whole report; `taken` of the input's bytes had come when it ended.
    pub(super) fn report(mut self, bytes: &[u8], taken: usize) -> String {
        let mut text = format!("routes, the first that matches wins\n{}", check::routes(self.plan));
        let mut fate = String::new();
        match self.end.take() {
            Some(End::Routed(handover)) => delivery(*handover, bytes, taken, &mut fate),
            Some(End::Closed(outcome)) => {
                self.tell(&format!("{outcome}: the connection is closed, no backend was touched"));
                if taken < bytes.len() {
                    let _ = writeln!(fate, "not read\n  {} bytes of the input", bytes.len() - taken);
                }
            }
            None if self.requests.is_some() => {}
            None => self.tell("undecided"),
        }
        let _ = writeln!(text, "story\n{}", self.story.trim_end_matches('\n'));
        if !self.facts.is_empty() {
            let _ = writeln!(text, "facts\n{}", self.facts.trim_end_matches('\n'));
        }
        text.push_str("verdicts\n");
        for (i, (route, probe)) in self.plan.routes.iter().zip(&self.probes).enumerate() {
            let verdict = match probe.verdict {
                Some(found) if found.is_match => format!("match, known after {} bytes", found.at),
                Some(found) => format!("no match, known after {} bytes", found.at),
                None => "needs more".to_owned(),
            };
            let _ = writeln!(text, "  {}  {}: {verdict}", i + 1, route.name);
        }
        text.push_str(&fate);
        text
    }
}

/// What the backend gets, and what is still owed.
fn delivery(handover: Handover<()>, bytes: &[u8], taken: usize, text: &mut String) {
    let is_greeted = handover.is_greeted();
    let Parts { replay, mut to_backend, to_client, .. } = handover.into_parts();
    let removed = taken.saturating_sub(replay.len() + held(&to_backend));
    let _ = writeln!(text, "replay\n  {} of the {taken} bytes that had come", replay.len());
    if removed > 0 {
        let _ = writeln!(
            text,
            "  {removed} bytes were taken out: acknowledgements and PINGs between client and oneport"
        );
    }
    let mut rest = bytes.get(taken..).unwrap_or_default();
    if !rest.is_empty() {
        let came = rest.len();
        let mut passed = 0;
        while let Some(piece) = to_backend.pull(&mut rest) {
            passed += piece.len();
        }
        let _ =
            writeln!(text, "behind it\n  {came} bytes of the input, of which {passed} go on to the backend");
    }
    text.push_str("ledgers\n");
    if !is_greeted {
        text.push_str("  none: oneport said nothing, every byte passes as it is\n");
        return;
    }
    match to_backend.owed() {
        0 => text
            .push_str("  to the backend: nothing is owed, the client has acknowledged oneport's SETTINGS\n"),
        n => {
            let _ =
                writeln!(text, "  to the backend: {n} SETTINGS ACK of the client is still to be taken out");
        }
    }
    let _ = writeln!(
        text,
        "  to the client: the backend's first SETTINGS are reconciled with oneport's, and {} SETTINGS ACK of the backend \
         is to be taken out",
        to_client.owed()
    );
}

/// Bytes that the ledger holds back: what `finish` of a copy says.
fn held(ledger: &oneport_core::ledger::ClientLedger) -> usize {
    ledger.clone().finish().len()
}
