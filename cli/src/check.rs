//! `oneport check`: the table as it will be, in words.

use std::fmt::Write as _;

use crate::greeting;
use crate::limits::{Limits, LIMITS};
use crate::table::Plan;
use crate::units::show_duration;

/// The plan as `check` prints it.
pub(crate) fn describe(plan: &Plan) -> String {
    let mut text = String::from("listen\n");
    for listen in &plan.listeners {
        let note = if listen.is_required { "" } else { "  (if the machine has IPv6)" };
        let _ = writeln!(text, "  {}{note}", listen.address);
    }
    if plan.listeners.is_empty() {
        text.push_str("  0.0.0.0:$PORT and [::]:$PORT  (PORT is not set here)\n");
    }
    text.push_str(match plan.per_request {
        true => "routes, the first that matches wins, for each HTTP/2 request and each other connection\n",
        false => "routes, the first that matches wins, for each connection\n",
    });
    text.push_str(&routes(plan));
    let _ = writeln!(text, "drain\n  {}", show_duration(plan.drain));
    if !plan.splice {
        text.push_str("splice\n  off\n");
    }
    let defaults = Limits::default();
    let mut changed = Vec::new();
    if plan.limits.mux.greeting != defaults.mux.greeting {
        let shown = |limits: &Limits| format!("\"{}\"", greeting::show(&limits.mux.greeting));
        changed.push(("greeting", shown(&plan.limits), shown(&defaults)));
    }
    for limit in &LIMITS {
        let (value, default) = ((limit.get)(&plan.limits), (limit.get)(&defaults));
        if value != default {
            changed.push((limit.name, value.to_string(), default.to_string()));
        }
    }
    if changed.is_empty() {
        text.push_str("limits\n  all as by default\n");
    } else {
        text.push_str("limits that differ from the default\n");
        for (name, value, default) in changed {
            let _ = writeln!(text, "  {name:24} {value}  (default {default})");
        }
    }
    text
}

/// The routes, one a line, in columns.
pub(crate) fn routes(plan: &Plan) -> String {
    const REFUSED: &str = "refused in the client's own protocol";
    let mut lines: Vec<(String, String, String)> = Vec::new();
    for (i, route) in plan.routes.iter().enumerate() {
        lines.push(((i + 1).to_string(), route.name.clone(), route.backend.to_string()));
    }
    let takes_everything = plan.routes.last().is_some_and(|route| route.matcher.takes_everything());
    if !takes_everything {
        let backend = plan.otherwise.as_ref().map_or_else(|| REFUSED.to_owned(), ToString::to_string);
        lines.push((String::new(), "otherwise".to_owned(), backend));
    }
    if let Some(backend) = &plan.on_timeout {
        let after = show_duration(plan.limits.mux.opening_deadline);
        lines.push((String::new(), format!("undecided after {after}"), backend.to_string()));
    }
    if let Some((backend, after)) = &plan.server_first {
        lines.push((String::new(), format!("silent for {}", show_duration(*after)), backend.to_string()));
    }
    let number = lines.iter().map(|(number, ..)| number.len()).max().unwrap_or(0);
    let width = lines.iter().map(|(_, name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (n, name, backend) in lines {
        let _ = writeln!(text, "  {n:>number$}  {name:width$}  -> {backend}");
    }
    text
}
