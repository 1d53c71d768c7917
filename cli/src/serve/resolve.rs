//! Name look-ups. The system's resolver blocks and can not be told to stop, so each look-up takes a thread until it answers.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Look-ups of one route at the same time, those included that nobody waits for any more. All routes share the runtime's 512
/// threads for what blocks: a name whose servers are silent must leave some for the others. One that answers in 20 ms is looked up
/// 1,600 times a second within it.
const LOOKUPS: usize = 32;

type LookUp = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Looks names up, a bounded number of them at the same time. Clones share the bound.
#[derive(Clone)]
pub(super) struct Resolver {
    places: Arc<Semaphore>,
    look_up: Arc<LookUp>,
}

impl Default for Resolver {
    /// That of the system.
    fn default() -> Self {
        Self::new(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Resolver {
    fn new(look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self { places: Arc::new(Semaphore::new(LOOKUPS)), look_up: Arc::new(look_up) }
    }

    /// The addresses of a name. It may wait for ever, for a place or for the system: give it a time.
    ///
    /// # Errors
    /// There is no such name, or nobody could be asked.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let place = self.places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (host, look_up) = (host.to_owned(), self.look_up.clone());
        spawn_blocking(move || {
            // Given back by the thread, and not by who waits for it: the thread stays when they are gone.
            let _place = place;
            look_up(&host, port)
        })
        .await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_hung_resolver_takes_a_bounded_number_of_threads() {
        let begun = Arc::new(AtomicUsize::new(0));
        let answers = Arc::new((Mutex::new(false), Condvar::new()));
        let address = SocketAddr::from(([192, 0, 2, 1], 7));
        let resolver = Resolver::new({
            let (begun, answers) = (begun.clone(), answers.clone());
            move |_, _| {
                begun.fetch_add(1, Ordering::SeqCst);
                let (does_answer, changed) = &*answers;
                let guard = does_answer.lock().unwrap();
                drop(changed.wait_while(guard, |does_answer| !*does_answer).unwrap());
                Ok(vec![address])
            }
        });
        // Nobody waits for these any more, but their threads are still there.
        for _ in 0..LOOKUPS + 3 {
            let found = timeout(Duration::from_millis(10), resolver.resolve("a", 7)).await;
            assert!(found.is_err(), "{found:?}");
        }
        // Threads may be slow to start: none that has a place is still to come when all places are in use.
        let in_time = timeout(Duration::from_secs(20), async {
            while begun.load(Ordering::SeqCst) < LOOKUPS {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let in_time = in_time.await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let threads = begun.load(Ordering::SeqCst);
        *answers.0.lock().unwrap() = true;
        answers.1.notify_all();
        assert!(in_time.is_ok(), "all places are in use");
        assert_eq!(threads, LOOKUPS);
        let found = timeout(Duration::from_secs(20), resolver.resolve("a", 7)).await;
        assert_eq!(found.expect("a place again").expect("an answer"), [address]);
    }

    #[tokio::test]
    async fn the_system_is_asked() {
        let found = Resolver::default().resolve("127.0.0.1", 7).await.expect("an answer");
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 7))]);
    }
}
