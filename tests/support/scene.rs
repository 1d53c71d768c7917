//! A scene: the routes, the bounds, and what the client does. It can be played on the machine and asked of the model.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oneport_core::testing::Script;
use oneport_core::{Config, Routes};

use super::terms::Term;

/// Where a route leads.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum To {
    Route(usize),
    Otherwise,
    OnTimeout,
    ServerFirst,
}

#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) routes: Vec<Term>,
    pub(crate) has_otherwise: bool,
    pub(crate) has_on_timeout: bool,
    pub(crate) server_first: Option<Duration>,
    pub(crate) config: Config,
    pub(crate) client: Script,
}

impl Scene {
    /// gRPC one way and everything else the other, with the defaults.
    pub(crate) fn grpc_or_rest(client: Script) -> Self {
        Self::new([Term::Grpc], client).otherwise()
    }

    pub(crate) fn new(routes: impl IntoIterator<Item = Term>, client: Script) -> Self {
        Self {
            routes: routes.into_iter().collect(),
            has_otherwise: false,
            has_on_timeout: false,
            server_first: None,
            config: Config::default(),
            client,
        }
    }

    pub(crate) fn otherwise(mut self) -> Self {
        self.has_otherwise = true;
        self
    }

    pub(crate) fn configured(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    pub(crate) fn table(&self) -> Arc<Routes<To>> {
        let mut table = Routes::new();
        for (i, term) in self.routes.iter().enumerate() {
            table = table.route(term.matcher(), To::Route(i));
        }
        if self.has_otherwise {
            table = table.otherwise(To::Otherwise);
        }
        if self.has_on_timeout {
            table = table.on_timeout(To::OnTimeout);
        }
        if let Some(after) = self.server_first {
            table = table.server_first(To::ServerFirst, after);
        }
        Arc::new(table)
    }
}

/// What differs from the defaults, and the client's bytes as text.
impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "routes {:?}", self.routes)?;
        writeln!(
            f,
            "otherwise {}, on_timeout {}, server_first {:?}",
            self.has_otherwise, self.has_on_timeout, self.server_first
        )?;
        let (ours, defaults) = (format!("{:#?}", self.config), format!("{:#?}", Config::default()));
        for (line, default) in ours.lines().zip(defaults.lines()).filter(|(a, b)| a != b) {
            writeln!(f, "config {} (default {})", line.trim(), default.trim())?;
        }
        for piece in self.client.pieces() {
            writeln!(f, "at {:?}: b\"{}\"", piece.at, piece.bytes.escape_ascii())?;
        }
        writeln!(f, "end {:?}", self.client.end())
    }
}
