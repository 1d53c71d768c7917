//! The signals that end the program.

use std::future::Future;

use tokio::signal::unix::{signal, Signal, SignalKind};

use crate::errors::Error;

/// SIGTERM and SIGINT, from now on: the first one asks to end, the next one to end at once.
#[derive(Debug)]
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Takes the signals over from the system, which would end the program at the first one.
    ///
    /// # Errors
    /// The system refuses handlers.
    pub(crate) fn new() -> Result<Self, Error> {
        let handler =
            |kind| signal(kind).map_err(|error| Error::runtime(format!("can not wait for signals: {error}")));
        Ok(Self {
            terminate: handler(SignalKind::terminate())?,
            interrupt: handler(SignalKind::interrupt())?,
        })
    }

    /// The name of the next one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// What the work comes to, if no signal comes before that.
    ///
    /// # Errors
    /// The name of the signal; the work is dropped.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Result<T, &'static str> {
        tokio::select! {
            done = work => Ok(done),
            signal = self.next() => Err(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use tokio::runtime::Builder;
    use tokio::task::spawn_blocking;
    use tokio::time::{sleep, timeout};

    use crate::log::{Format, Level, Logger};
    use crate::serve::serve;
    use crate::table::Environment;

    /// Names are looked up on the threads for what blocks: with all of them taken, this is a resolver that never answers.
    #[test]
    fn a_signal_ends_a_start_that_waits_for_the_resolver() {
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
        let runtime = runtime.expect("a runtime");
        let text = "listen = \"localhost:0\"\n[[route]]\nmatch = \"any\"\nbackend = \"127.0.0.1:1\"";
        let plan = crate::config::parse("a.toml", text).and_then(|draft| draft.plan(&Environment::default()));
        let plan = plan.expect("a plan");
        let (answer, never) = channel::<()>();
        let ended = runtime.block_on(async {
            // From here on the signal does not end the tests.
            let _ours = StopSignals::new().expect("handlers");
            spawn_blocking(move || never.recv());
            let served = serve(plan, Logger::stderr(Level::Error, Format::Text));
            let signal = async {
                sleep(Duration::from_millis(100)).await;
                let kill = format!("kill -TERM {}", std::process::id());
                assert!(Command::new("/bin/sh").args(["-c", &kill]).status().expect("a shell").success());
            };
            tokio::join!(timeout(Duration::from_secs(20), served), signal).0
        });
        drop(answer);
        runtime.shutdown_background();
        assert!(matches!(ended, Ok(Ok(()))), "{ended:?}");
    }
}
