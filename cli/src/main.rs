//! The command `oneport`: several servers, in any language, behind one port.
//!
//! ```text
//!  args ----+
//!           +--> table (a draft, judged as a whole, becomes a plan) --> serve | check | explain
//!  config --+        uses route -> term -> text, address, limits, overlap
//! ```

mod address;
mod args;
mod check;
mod config;
mod contradiction;
mod demo;
#[cfg(test)]
mod docs_tests;
mod errors;
mod explain;
mod fault;
mod greeting;
mod limits;
mod log;
mod outcome;
mod overlap;
mod route;
mod serve;
mod suggest;
mod table;
mod term;
mod text;
mod units;

use std::process::ExitCode;

use clap::Parser as _;

use crate::address::Address;
use crate::args::{Cli, Verb};
use crate::errors::{print, Error};
use crate::log::{Event, Level, Logger};
use crate::table::{Draft, Environment, Plan};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version end well; whatever else it is, the arguments are at fault.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn run(verb: Verb) -> Result<(), Error> {
    let environment = Environment::of_process();
    match verb {
        Verb::Check(check) => {
            let plan = Draft::from_args(&check.table, Some(&check.listening))?.plan(&environment)?;
            print(&check::describe(&plan))?;
            warn(&plan);
            Ok(())
        }
        Verb::Demo(demo) => {
            let listen = Address::parse_listen(&demo.listen)
                .map_err(|fault| Error::usage(fault.in_argument("--listen", &demo.listen)))?;
            logged(demo.log, |logger| demo::run(demo::DemoPlan { listen }, logger))
        }
        Verb::Explain(explain) => {
            // Where to listen does not matter here, so neither does PORT.
            let plan = Draft::from_args(&explain.table, None)?.plan(&Environment::default())?;
            warn(&plan);
            print(&explain::run(&plan, &explain)?)
        }
        Verb::Serve(serve) => {
            let plan = Draft::from_args(&serve.table, Some(&serve.listening))?.plan(&environment)?;
            plan.must_listen()?;
            logged(serve.log, |logger| {
                for warning in &plan.warnings {
                    logger.log(&Event::new(Level::Warn, "warning").with("message", warning.as_str()));
                }
                serve::run(plan, logger)
            })
        }
    }
}

/// Runs with a logger, and lets it finish.
fn logged(options: args::Log, run: impl FnOnce(&Logger) -> Result<(), Error>) -> Result<(), Error> {
    let logger = Logger::stderr(options.level(), options.log_format);
    let result = run(&logger);
    logger.flush();
    result
}

/// Says a plan's warnings on stderr.
fn warn(plan: &Plan) {
    use std::io::Write as _;
    for warning in &plan.warnings {
        let _ = writeln!(std::io::stderr(), "oneport: warning: {warning}");
    }
}
