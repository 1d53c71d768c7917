//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand, ValueEnum};
use oneport_core::Greeting;

use crate::limits::{Limits, Value, LIMITS};
use crate::log::{Format, Level};
use crate::{greeting, units};

/// Several servers behind one port: each connection goes to the server that its first bytes call for.
#[derive(Debug, Parser)]
#[command(name = "oneport", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Listen, and pass each connection on to the backend of its route
    Serve(Serve),
    /// Serve a gRPC health service and a small REST server on one port, and print what to try
    Demo(Demo),
    /// Show what becomes of recorded client bytes: facts, verdicts, what is said, where they go
    Explain(Explain),
    /// Validate routes and options, and print the table
    Check(Check),
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) listening: Listening,
    #[command(flatten)]
    pub(crate) table: Table,
    #[command(flatten)]
    pub(crate) log: Log,
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Where to listen: HOST:PORT or unix:PATH; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: String,
    #[command(flatten)]
    pub(crate) log: Log,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) listening: Listening,
    #[command(flatten)]
    pub(crate) table: Table,
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// The bytes of one client, as it sent them; - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) input: PathBuf,
    /// Sizes of the segments in which they come; what is left comes as one more
    #[arg(long, value_name = "SIZE,…", value_delimiter = ',', value_parser = segment, conflicts_with = "bytewise")]
    pub(crate) segments: Vec<usize>,
    /// They come byte by byte
    #[arg(long)]
    pub(crate) bytewise: bool,
    /// After this many bytes the client pauses; may be repeated
    #[arg(long, value_name = "BYTES", value_parser = segment)]
    pub(crate) pause_after: Vec<usize>,
    /// How long a pause is
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = units::parse_duration)]
    pub(crate) pause: Duration,
    /// The input is hexadecimal digits; blanks and line ends between bytes are skipped
    #[arg(long)]
    pub(crate) hex: bool,
    /// The client ends its side behind the last byte, instead of staying silent
    #[arg(long)]
    pub(crate) eof: bool,
    #[command(flatten)]
    pub(crate) table: Table,
}

/// A number of bytes.
fn segment(text: &str) -> Result<usize, String> {
    let size = units::parse_size(text)?;
    match usize::try_from(size) {
        Ok(0) | Err(_) => Err(format!("`{text}` is out of bounds; it must be at least 1")),
        Ok(size) => Ok(size),
    }
}

#[derive(Args, Debug)]
pub(crate) struct Listening {
    // Not as a doc comment: rustdoc takes the brackets for a link.
    #[arg(
        long,
        value_name = "ADDR",
        help = "Where to listen: HOST:PORT or unix:PATH; may be repeated [default: 0.0.0.0:$PORT and [::]:$PORT]"
    )]
    pub(crate) listen: Vec<String>,
    /// How long routed connections may go on after SIGTERM or SIGINT [default: 8s]
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    pub(crate) drain: Option<Duration>,
    /// Copy bulk instead of splicing it inside the kernel
    #[arg(long)]
    pub(crate) no_splice: bool,
}

/// Where connections go. Raw, since mistakes in it are reported with their place.
#[derive(Args, Debug)]
pub(crate) struct Table {
    /// Read listen, routes and limits from this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["route", "otherwise", "on_timeout", "server_first"])]
    pub(crate) config: Option<PathBuf>,
    /// Where connections of one kind go; may be repeated, the order is the priority
    #[arg(long, value_name = "MATCH=BACKEND")]
    pub(crate) route: Vec<String>,
    /// Where connections go that no route takes [default: refused in their own protocol]
    #[arg(long, value_name = "BACKEND")]
    pub(crate) otherwise: Option<String>,
    /// Where connections go that are undecided at --opening-deadline [default: refused]
    #[arg(long, value_name = "BACKEND")]
    pub(crate) on_timeout: Option<String>,
    /// Where clients go that wait for the server to speak first
    #[arg(long, value_name = "BACKEND", requires = "server_first_after")]
    pub(crate) server_first: Option<String>,
    /// How long a client must have been silent for --server-first
    #[arg(long, value_name = "DURATION", requires = "server_first", value_parser = units::parse_duration)]
    pub(crate) server_first_after: Option<Duration>,
    /// Route each request of an HTTP/2 connection by itself: what proxies such as Cloud Run's need
    #[arg(long)]
    pub(crate) per_request: bool,
    /// SETTINGS for HTTP/2 clients that wait for them [default: max-concurrent-streams=100]
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = greeting::parse)]
    pub(crate) greeting: Option<Greeting>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Log {
    /// How log lines are written to stderr
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Format,
    /// The least level that is logged [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<Level>,
    /// Log everything, TCP probes too (--log-level debug)
    #[arg(short, long, conflicts_with = "log_level")]
    verbose: bool,
}

impl Log {
    pub(crate) fn level(self) -> Level {
        let default = if self.verbose { Level::Debug } else { Level::Info };
        self.log_level.unwrap_or(default)
    }
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}

impl ValueEnum for Level {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Error, Self::Warn, Self::Info, Self::Debug]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}

/// The limits that were given, by their place in [`LIMITS`]. The options are made from that table.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitArgs(Vec<(usize, Value)>);

impl LimitArgs {
    /// Sets those that were given.
    pub(crate) fn apply(&self, limits: &mut Limits) {
        for (index, value) in &self.0 {
            LIMITS[*index].set(limits, *value);
        }
    }
}

impl Args for LimitArgs {
    fn augment_args(command: Command) -> Command {
        let defaults = Limits::default();
        command.args(LIMITS.iter().map(|limit| {
            let default = (limit.get)(&defaults);
            Arg::new(limit.name)
                .long(limit.name)
                .value_name(limit.value_name())
                .help(format!("{} [default: {default}]", limit.help))
                .help_heading(limit.group.heading())
                .value_parser(|text: &str| limit.parse(text))
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for LimitArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |(index, limit): (usize, &crate::limits::Limit)| {
            matches.get_one::<Value>(limit.name).map(|value| (index, *value))
        };
        Ok(Self(LIMITS.iter().enumerate().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_limit_is_in_the_help_with_its_default() {
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("serve").unwrap().render_help().to_string();
        for limit in &LIMITS {
            let default = (limit.get)(&Limits::default());
            assert!(help.contains(&format!("--{} <{}>", limit.name, limit.value_name())), "{}", limit.name);
            assert!(help.contains(&format!("{} [default: {default}]", limit.help)), "{}", limit.name);
        }
    }

    #[test]
    fn limits_are_set_by_their_option() {
        let arguments =
            ["oneport", "check", "--route", "any=a:1", "--silent-deadline", "3s", "--max-idle", "7"];
        let Verb::Check(check) = Cli::try_parse_from(arguments).unwrap().verb else { panic!() };
        let mut limits = Limits::default();
        check.table.limits.apply(&mut limits);
        assert_eq!((limits.mux.silent_deadline, limits.max_idle), (Duration::from_secs(3), 7));
        assert_eq!(limits.max_undecided, 1_024);
    }
}
