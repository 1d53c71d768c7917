//! From what was asked for, on the command line or in a file, to a plan that makes sense as a whole.

use std::time::Duration;

use oneport_core::wire::settings::{Setting, SettingId};
use oneport_core::{Config, Matcher};

use crate::address::{Address, Backend};
use crate::args::{Listening, Table};
use crate::config;
use crate::contradiction::contradiction;
use crate::errors::Error;
use crate::limits::Limits;
use crate::overlap::covers;
use crate::route::Route;
use crate::term::Term;

/// How long routed connections may go on after a signal: Cloud Run kills after 10 s.
const DEFAULT_DRAIN: Duration = Duration::from_secs(8);

/// What was asked for, each part valid by itself.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) listen: Vec<Address>,
    /// With where each stands, for messages.
    pub(crate) routes: Vec<(Route, String)>,
    pub(crate) otherwise: Option<Backend>,
    pub(crate) on_timeout: Option<Backend>,
    pub(crate) server_first: Option<(Backend, Duration)>,
    pub(crate) limits: Limits,
    pub(crate) drain: Duration,
    pub(crate) per_request: bool,
    pub(crate) splice: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            routes: Vec::new(),
            otherwise: None,
            on_timeout: None,
            server_first: None,
            limits: Limits::default(),
            drain: DEFAULT_DRAIN,
            per_request: false,
            splice: true,
        }
    }
}

/// What the environment says, taken once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `PORT`: where a platform such as Cloud Run wants the service to listen.
    pub(crate) port: Option<String>,
    /// Whether `K_SERVICE` is set, as Cloud Run does.
    pub(crate) is_cloud_run: bool,
}

impl Environment {
    pub(crate) fn of_process() -> Self {
        Self {
            port: std::env::var_os("PORT").map(|port| port.to_string_lossy().into_owned()),
            is_cloud_run: std::env::var_os("K_SERVICE").is_some(),
        }
    }
}

/// Where to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Listen {
    pub(crate) address: Address,
    /// `[::]:$PORT` of the default is not: a machine without IPv6 serves all the same. `[::]` is to be bound for IPv6 only.
    pub(crate) is_required: bool,
}

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct PlannedRoute {
    /// The match as it is written; no two routes have the same.
    pub(crate) name: String,
    pub(crate) matcher: Matcher,
    pub(crate) backend: Backend,
}

/// What to do, valid as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Empty if nothing was said and `PORT` is not set: see [`Plan::must_listen`].
    pub(crate) listeners: Vec<Listen>,
    /// In order of priority.
    pub(crate) routes: Vec<PlannedRoute>,
    /// Where openings go that no route takes; else they are refused.
    pub(crate) otherwise: Option<Backend>,
    /// Where undecided openings go at their deadline; else they are refused.
    pub(crate) on_timeout: Option<Backend>,
    /// Where clients go that say nothing for so long.
    pub(crate) server_first: Option<(Backend, Duration)>,
    pub(crate) limits: Limits,
    /// How long routed connections may go on after a signal.
    pub(crate) drain: Duration,
    /// Whether the requests of HTTP/2 connections are routed one by one.
    pub(crate) per_request: bool,
    /// Whether bulk may go through pipes inside the kernel.
    pub(crate) splice: bool,
    /// To be said once, before serving.
    pub(crate) warnings: Vec<String>,
}

impl Draft {
    /// Reads what the arguments say, and the file that they name.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub(crate) fn from_args(table: &Table, listening: Option<&Listening>) -> Result<Self, Error> {
        let mut draft = match &table.config {
            Some(file) => config::read(file)?,
            None => Self::default(),
        };
        for (i, text) in table.route.iter().enumerate() {
            let route =
                Route::parse(text).map_err(|fault| Error::usage(fault.in_argument("--route", text)))?;
            draft.routes.push((route, format!("--route number {}", i + 1)));
        }
        let backend = |option: &str, text: &Option<String>| match text {
            Some(text) => {
                Backend::parse(text).map(Some).map_err(|fault| Error::usage(fault.in_argument(option, text)))
            }
            None => Ok(None),
        };
        draft.otherwise = backend("--otherwise", &table.otherwise)?.or(draft.otherwise);
        draft.on_timeout = backend("--on-timeout", &table.on_timeout)?.or(draft.on_timeout);
        let server_first = backend("--server-first", &table.server_first)?;
        draft.server_first = server_first.zip(table.server_first_after).or(draft.server_first);
        if let Some(greeting) = &table.greeting {
            draft.limits.mux.greeting = greeting.clone();
        }
        table.limits.apply(&mut draft.limits);
        draft.per_request |= table.per_request;
        if let Some(listening) = listening {
            if !listening.listen.is_empty() {
                let parse = |text: &String| {
                    Address::parse_listen(text)
                        .map_err(|fault| Error::usage(fault.in_argument("--listen", text)))
                };
                draft.listen = listening.listen.iter().map(parse).collect::<Result<_, _>>()?;
            }
            draft.drain = listening.drain.unwrap_or(draft.drain);
            draft.splice &= !listening.no_splice;
        }
        Ok(draft)
    }

    /// Judges the whole.
    ///
    /// # Errors
    /// What makes no sense: no route, a route that can not be reached, an address twice.
    pub(crate) fn plan(self, environment: &Environment) -> Result<Plan, Error> {
        self.check_reach()?;
        let listeners = self.listeners(environment)?;
        let warnings = self.warnings(environment);
        let plan_route = |(route, _): (Route, String)| PlannedRoute {
            name: route.conditions.to_string(),
            matcher: route.conditions.matcher(),
            backend: route.backend,
        };
        let plan = Plan {
            listeners,
            routes: self.routes.into_iter().map(plan_route).collect(),
            otherwise: self.otherwise,
            on_timeout: self.on_timeout,
            server_first: self.server_first,
            limits: self.limits,
            drain: self.drain,
            per_request: self.per_request,
            splice: self.splice,
            warnings,
        };
        plan.check_loops(plan.listeners.iter().map(|listen| &listen.address))?;
        Ok(plan)
    }

    /// Every route must be one that some connection can take.
    fn check_reach(&self) -> Result<(), Error> {
        if self.routes.is_empty() && self.otherwise.is_none() {
            return Err(Error::usage(
                "no route; give at least one, as in `--route grpc=127.0.0.1:50051` or `--route any=127.0.0.1:3000`",
            ));
        }
        for (i, (later, place)) in self.routes.iter().enumerate() {
            if let Some(why) = contradiction(&later.conditions) {
                return Err(Error::usage(format!(
                    "{place}: `{}` can never be reached: {why}",
                    later.conditions
                )));
            }
            let earlier =
                self.routes[..i].iter().find(|(earlier, _)| covers(&earlier.conditions, &later.conditions));
            if let Some((earlier, earlier_place)) = earlier {
                let why = match earlier.conditions.matcher().takes_everything() {
                    true => "takes everything".to_owned(),
                    false if earlier.conditions == later.conditions => "is the same".to_owned(),
                    false => "takes all of it".to_owned(),
                };
                return Err(Error::usage(format!(
                    "{place}: `{}` can never be reached: `{}` ({earlier_place}) stands before it and {why}",
                    later.conditions, earlier.conditions
                )));
            }
        }
        let (first, last) = (self.routes.first(), self.routes.last());
        let takes_everything = |route: Option<&(Route, String)>| {
            route.is_some_and(|(route, _)| route.conditions.matcher().takes_everything())
        };
        // With `--per-request` it first has to be known whether a client speaks HTTP/2.
        let decides_at_once = !self.per_request && (takes_everything(first) || self.routes.is_empty());
        let unreachable = [
            (
                "otherwise",
                self.otherwise.is_some() && takes_everything(last),
                "the last route takes everything",
            ),
            (
                "on-timeout",
                self.on_timeout.is_some() && decides_at_once,
                "every connection is decided at once",
            ),
            (
                "server-first",
                self.server_first.is_some() && decides_at_once,
                "every connection is decided at once",
            ),
        ];
        if self.server_first.as_ref().is_some_and(|(_, after)| after.is_zero()) {
            return Err(Error::usage("`server-first` needs a delay: with 0 no client could speak first"));
        }
        let silent_deadline = self.limits.mux.silent_deadline;
        if self.server_first.as_ref().is_some_and(|(_, after)| *after >= silent_deadline) {
            return Err(Error::usage(
                "`server-first` can never be reached: its delay (`--server-first-after`) is not below `--silent-deadline`",
            ));
        }
        match unreachable.iter().find(|(_, is_unreachable, _)| *is_unreachable) {
            Some((name, _, why)) => Err(Error::usage(format!("`{name}` can never be reached: {why}"))),
            None => Ok(()),
        }
    }

    fn listeners(&self, environment: &Environment) -> Result<Vec<Listen>, Error> {
        for (i, address) in self.listen.iter().enumerate() {
            // Port 0 is another port each time.
            if address.port() != Some(0) && self.listen[..i].contains(address) {
                return Err(Error::usage(format!("`{address}` is listened on twice")));
            }
        }
        if !self.listen.is_empty() {
            let listen = |address: &Address| Listen { address: address.clone(), is_required: true };
            return Ok(self.listen.iter().map(listen).collect());
        }
        let Some(port) = &environment.port else {
            return Ok(Vec::new());
        };
        let port = match port.parse::<u16>() {
            Ok(port) if port > 0 && !environment.port.as_deref().unwrap_or_default().starts_with('+') => port,
            _ => {
                return Err(Error::usage(format!(
                    "the environment variable PORT is `{}`, which is no port; it is a number from 1 to 65535",
                    port.escape_debug()
                )))
            }
        };
        let any = |ip: std::net::IpAddr| Address::Ip((ip, port).into());
        Ok(vec![
            Listen { address: any(std::net::Ipv4Addr::UNSPECIFIED.into()), is_required: true },
            Listen { address: any(std::net::Ipv6Addr::UNSPECIFIED.into()), is_required: false },
        ])
    }

    fn warnings(&self, environment: &Environment) -> Vec<String> {
        let mut warnings = Vec::new();
        for (route, place) in &self.routes {
            if !self.per_request && route.conditions.matcher().looks_at_requests() {
                warnings.push(format!(
                    "{place}: `{}` looks at what differs from request to request, but the first request decides for its whole \
                     connection: later requests of a kept-alive connection go where the first one went",
                    route.conditions
                ));
            }
            for condition in route.conditions.conditions() {
                let most = self.limits.mux.max_prefix;
                if matches!(&condition.term, Term::Prefix(bytes) if bytes.len() > most) {
                    warnings.push(format!(
                        "{place}: `{}` never matches: it is longer than --max-prefix ({most} bytes)",
                        condition.term
                    ));
                }
            }
        }
        if self.per_request {
            warnings.extend(self.without_effect());
        }
        if environment.is_cloud_run && !self.per_request {
            warnings.push(
                "K_SERVICE is set (Cloud Run): its proxy puts requests of many clients on one connection, and all of them go where \
                 the first one goes; what it needs is --per-request"
                    .to_owned(),
            );
        }
        warnings
    }

    /// With `--per-request` every HTTP/2 client is spoken to at once, and nobody is greeted.
    fn without_effect(&self) -> Vec<String> {
        let (asked, default) = (&self.limits.mux, Config::default());
        let is_void = |setting: &Setting| {
            setting.id != SettingId::ENABLE_CONNECT_PROTOCOL && !default.greeting.entries().contains(setting)
        };
        let mut warnings = Vec::new();
        if asked.greeting.entries().iter().any(is_void) {
            warnings.push(
                "with --per-request, of the greeting only `enable-connect-protocol` has an effect; how many requests a client may \
                 have open says --max-concurrent-streams"
                    .to_owned(),
            );
        }
        if asked.settings_patience != default.settings_patience {
            warnings.push("--settings-patience has no effect with --per-request".to_owned());
        }
        warnings
    }
}

impl Plan {
    /// A backend that is where we listen would be a connection to ourselves, and so on until there are no files left. To be asked
    /// again when all sockets are open: then the ports are known that the system chose, and the addresses that names stood for.
    ///
    /// # Errors
    /// Names the backend.
    pub(crate) fn check_loops<'a>(
        &self,
        listening: impl Iterator<Item = &'a Address> + Clone,
    ) -> Result<(), Error> {
        let others = [&self.otherwise, &self.on_timeout].into_iter().flatten();
        let others = others.chain(self.server_first.as_ref().map(|(backend, _)| backend));
        for backend in self.routes.iter().map(|route| &route.backend).chain(others) {
            let Backend::Server(address) = backend else { continue };
            // No backend has port 0, which is another port each time.
            if listening.clone().any(|listener| address.leads_to(listener)) {
                return Err(Error::usage(format!(
                    "the backend `{address}` is where oneport itself listens: every connection would come back to it"
                )));
            }
        }
        Ok(())
    }

    /// For a command that listens: there must be an address.
    ///
    /// # Errors
    /// Neither `--listen` nor `PORT` says where.
    pub(crate) fn must_listen(&self) -> Result<(), Error> {
        match self.listeners.is_empty() {
            false => Ok(()),
            true => Err(Error::usage(
                "nowhere to listen: give --listen ADDR, as in `--listen 127.0.0.1:8080`, or set the environment variable PORT",
            )),
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
