//! The kit of the std adapter: a thread for each mux that serves. Streams with faults are no sockets that could be polled, so they
//! go through a `Router`, each on a thread of its own.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use oneport::smol;
use oneport::std::{Arrival, Connection, Handle, Incoming, Io, Listener, Mux, Router, Socket};
use oneport::{
    Address, Addresses, BridgeEnd, Config, Counters, Limits, NotBare, NotServing, Reason, SplitConfig,
    StillOwed, Undecided,
};
use socket2::SockRef;

use super::smol::Flaky;
use super::{About, AcceptLog, Bare, Control, Faults, Hooks, Leads, Opened, Route, Served, Setup, Source};
use crate::adapters::PATIENCE;

#[derive(Debug)]
pub(crate) struct Kit;

impl super::Kit for Kit {
    fn open(&self, setup: Setup) -> Opened {
        let Setup { config, limits, split, routes, source, hooks } = setup;
        match source {
            Source::Tcp { errors, calls } => {
                let inner = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
                let listener = FlakyTcp { inner, errors, calls };
                serve(Mux::with_bounds(listener, config, limits), split, routes, hooks, |_, io, _| Err(io))
            }
            Source::Unix(path) => {
                let listener = UnixListener::bind(path).expect("a path");
                serve(Mux::with_bounds(listener, config, limits), split, routes, hooks, |_, io, _| Err(io))
            }
            Source::Pairs if split.is_none() => route(config, limits, routes, hooks),
            Source::Handed | Source::Pairs => {
                let connect = |handle: &Handle<_>, end, addresses| {
                    handle.connect(end, addresses).map_err(|NotServing(end)| end)
                };
                serve(Mux::with_bounds(Never, config, limits), split, routes, hooks, connect)
            }
        }
    }
}

/// A router: what has faults is no socket that could be polled.
fn route(config: Config, limits: Limits, routes: Vec<(&'static str, Leads)>, hooks: Hooks) -> Opened {
    let mut router = Router::with_bounds(config, limits).on_outcome(hooks.outcome);
    let mut faces: BTreeMap<_, Box<dyn Route>> = BTreeMap::new();
    let mut queues = BTreeMap::new();
    for (name, leads) in routes {
        router = match leads {
            Leads::Match(matcher) => router.route(name, matcher),
            Leads::OnTimeout => router.on_timeout(name),
            Leads::Otherwise => router.otherwise(name),
            Leads::ServerFirst(after) => router.server_first(name, after),
        };
        let (sender, receiver) = channel();
        queues.insert(name, sender);
        faces.insert(name, Box::new(RouterFace(receiver)));
    }
    let control = RouterControl { router: router.build(), queues };
    Opened { address: Address::Unknown, routes: faces, control: Box::new(control) }
}

type Connect<T> = fn(&Handle<T>, UnixStream, Addresses) -> Result<(), UnixStream>;

fn serve<L: Listener<Io: Twin>>(
    mut mux: Mux<L>,
    split: Option<SplitConfig>,
    routes: Vec<(&'static str, Leads)>,
    hooks: Hooks,
    connect: Connect<L::Io>,
) -> Opened {
    mux.on_outcome(hooks.outcome);
    if let Some(split) = split {
        mux.on_split_end(hooks.split_end);
        mux.per_request_with(split);
    }
    let mut faces: BTreeMap<_, Box<dyn Route>> = BTreeMap::new();
    for (name, leads) in routes {
        let incoming = match leads {
            Leads::Match(matcher) => mux.route(name, matcher),
            Leads::OnTimeout => mux.on_timeout(name),
            Leads::Otherwise => mux.otherwise(name),
            Leads::ServerFirst(after) => mux.server_first(name, after),
        };
        faces.insert(name, Box::new(RouteFace(Arc::new(Mutex::new(incoming)))));
    }
    let address = mux.local_address().unwrap_or(Address::Unknown);
    let handle = mux.handle();
    let (ended, serving) = channel();
    let counting = handle.clone();
    thread::spawn(move || {
        mux.serve();
        let _ = ended.send(counting.counters());
    });
    let control = ControlFace { handle, serving: Mutex::new(serving), connect };
    Opened { address, routes: faces, control: Box::new(control) }
}

struct ControlFace<T: Socket> {
    handle: Handle<T>,
    serving: Mutex<Receiver<Counters>>,
    connect: Connect<T>,
}

impl<T: Socket> Control for ControlFace<T> {
    fn counters(&self) -> Counters {
        self.handle.counters()
    }

    fn undecided(&self) -> Undecided {
        self.handle.undecided()
    }

    fn shutdown(&self) {
        self.handle.shutdown();
    }

    fn wait_served(&self) -> Counters {
        let serving = self.serving.lock().expect("no panic under it");
        serving.recv_timeout(PATIENCE).expect("serving comes back")
    }

    fn connect(&self, end: UnixStream, _: Faults, addresses: Addresses) -> Result<(), UnixStream> {
        (self.connect)(&self.handle, end, addresses)
    }
}

impl<T: Socket> Drop for ControlFace<T> {
    fn drop(&mut self) {
        // The serving thread ends.
        self.handle.shutdown();
    }
}

struct RouteFace<T: Socket>(Arc<Mutex<Incoming<T>>>);

impl<T: Socket> RouteFace<T> {
    /// Waits for a connection, but not for ever: on a thread that may be left behind.
    fn arrival(&self) -> Option<Arrival<T>> {
        let incoming = self.0.clone();
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let arrival = incoming.lock().expect("no panic under it").arrival();
            drop(incoming);
            let _ = sender.send(arrival);
        });
        receiver.recv_timeout(PATIENCE).expect("a connection, or the end")
    }
}

impl<T: Socket + Twin> Route for RouteFace<T> {
    fn accept(&mut self) -> Option<Box<dyn Served>> {
        let connection = self.arrival()?.accept().expect("a blocking socket");
        Some(Box::new(ServedFace::patient(connection)))
    }

    fn refuse(&mut self, reason: Reason) {
        self.arrival().expect("not the end").refuse(reason);
    }

    fn forget(&mut self) {
        drop(self.arrival().expect("not the end"));
    }

    fn bridge(&mut self, _: UnixStream) -> Box<dyn FnOnce() -> BridgeEnd> {
        panic!("blocking sockets can not be bridged");
    }

    fn local_address(&mut self) -> Address {
        self.0.lock().expect("no panic under it").local_address().clone()
    }
}

/// Decides each connection on a thread of its own.
struct RouterControl {
    router: Router,
    queues: BTreeMap<&'static str, Sender<Connection<Faulty>>>,
}

impl Control for RouterControl {
    fn counters(&self) -> Counters {
        self.router.counters()
    }

    fn undecided(&self) -> Undecided {
        self.router.undecided()
    }

    fn shutdown(&self) {
        self.router.shutdown();
    }

    fn wait_served(&self) -> Counters {
        self.router.counters()
    }

    fn connect(&self, inner: UnixStream, faults: Faults, addresses: Addresses) -> Result<(), UnixStream> {
        let (router, queues) = (self.router.clone(), self.queues.clone());
        thread::spawn(move || {
            let Ok(connection) = router.decide(Faulty { inner, faults }, addresses) else { return };
            let route = connection.route().expect("it has been routed").to_owned();
            // Nobody may want it any more.
            let _ = queues[route.as_str()].send(connection);
        });
        Ok(())
    }
}

struct RouterFace(Receiver<Connection<Faulty>>);

impl Route for RouterFace {
    fn accept(&mut self) -> Option<Box<dyn Served>> {
        let connection = self.0.recv_timeout(PATIENCE).expect("a connection");
        Some(Box::new(ServedFace::patient(connection)))
    }

    fn refuse(&mut self, _: Reason) {
        panic!("a router's connection is taken");
    }

    fn forget(&mut self) {
        panic!("a router's connection is taken");
    }

    fn bridge(&mut self, _: UnixStream) -> Box<dyn FnOnce() -> BridgeEnd> {
        panic!("blocking sockets can not be bridged");
    }

    fn local_address(&mut self) -> Address {
        Address::Unknown
    }
}

/// An inner stream of which there may be two.
trait Twin: Io + AsFd + Send + Sync + 'static {
    /// A second handle of the connection, for another thread.
    fn twin(connection: &Connection<Self>) -> io::Result<Connection<Self>>
    where
        Self: Sized;
    fn shut(connection: &Connection<Self>) -> io::Result<()>
    where
        Self: Sized;
}

macro_rules! twin {
    ($socket:ty) => {
        impl Twin for $socket {
            fn twin(connection: &Connection<Self>) -> io::Result<Connection<Self>> {
                connection.try_clone()
            }

            fn shut(connection: &Connection<Self>) -> io::Result<()> {
                connection.shutdown(Shutdown::Write)
            }
        }
    };
}

twin!(TcpStream);
twin!(UnixStream);

struct ServedFace<T>(Connection<T>);

impl<T: Io> ServedFace<T> {
    fn patient(connection: Connection<T>) -> Self {
        connection.set_read_timeout(Some(PATIENCE)).expect("a socket");
        connection.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self(connection)
    }
}

impl<T: Io> Read for ServedFace<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<T: Io> Write for ServedFace<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<T: Twin> Served for ServedFace<T> {
    fn finish(&mut self) -> io::Result<()> {
        T::shut(&self.0)
    }

    fn reset(self: Box<Self>) {
        SockRef::from(self.0.inner().expect("not a share"))
            .set_linger(Some(Duration::ZERO))
            .expect("a socket");
    }

    fn write_vectored_once(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bufs)
    }

    fn writes_vectored(&self) -> Option<bool> {
        None
    }

    fn on_halves(mut self: Box<Self>, first: &mut [u8], answer: &[u8]) -> Box<dyn Served> {
        let mut twin = T::twin(&self.0).expect("a second handle");
        thread::scope(|scope| {
            let reading = scope.spawn(|| twin.read_exact(first));
            self.0.write_all(answer).and_then(|()| self.0.flush()).expect("it writes");
            reading.join().expect("no panic").expect("it reads");
        });
        drop(twin);
        self
    }

    fn about(&self) -> About {
        let connection = &self.0;
        let (target, sni) = About::facts(connection.facts());
        About {
            peer: connection.peer_address().clone(),
            local: connection.local_address().clone(),
            route: connection.route().map(ToOwned::to_owned),
            why: connection.why(),
            was_greeted: connection.was_greeted(),
            target,
            sni,
        }
    }

    fn nodelay(&self) -> Option<bool> {
        SockRef::from(self.0.inner().expect("not a share")).tcp_nodelay().ok()
    }

    fn owed(&self) -> Option<StillOwed> {
        self.0.owed()
    }

    fn into_inner(self: Box<Self>) -> Result<Box<dyn Bare>, (Box<dyn Served>, StillOwed)> {
        match self.0.into_inner() {
            Ok(io) => Ok(Box::new(BareFace(io))),
            Err(NotBare { connection, owed }) => Err((Box::new(Self(connection)), owed)),
        }
    }
}

struct BareFace<T>(T);

impl<T: Io> Read for BareFace<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<T: Io> Write for BareFace<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<T: Io + Send> Bare for BareFace<T> {}

/// A TCP listener whose first calls fail.
#[derive(Debug)]
struct FlakyTcp {
    inner: std::net::TcpListener,
    errors: Vec<i32>,
    calls: Arc<AcceptLog>,
}

impl Listener for FlakyTcp {
    type Io = TcpStream;
    type Polled = Flaky;

    fn polled(self) -> io::Result<Flaky> {
        Ok(Flaky { inner: self.inner.polled()?, errors: self.errors.into(), calls: self.calls })
    }

    fn local_address(&self) -> io::Result<Address> {
        self.inner.local_address()
    }
}

/// No connection, and no end.
#[derive(Debug)]
struct Never;

impl Listener for Never {
    type Io = UnixStream;
    type Polled = Self;

    fn polled(self) -> io::Result<Self> {
        Ok(self)
    }

    fn local_address(&self) -> io::Result<Address> {
        Ok(Address::Unknown)
    }
}

impl smol::Listener for Never {
    type Io = smol::Socket<UnixStream>;

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<Option<io::Result<smol::Accepted<Self::Io>>>> {
        Poll::Pending
    }

    fn local_address(&self) -> io::Result<Address> {
        Ok(Address::Unknown)
    }
}

/// A stream with [`Faults`].
#[derive(Debug)]
struct Faulty {
    inner: UnixStream,
    faults: Faults,
}

impl AsFd for Faulty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl Read for Faulty {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let part = self.faults.readable(buf.len());
        let n = self.inner.read(&mut buf[..part])?;
        self.faults.seen.read.fetch_add(n, Ordering::Relaxed);
        Ok(n)
    }
}

impl Write for Faulty {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.faults.seen.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.write(&buf[..self.faults.writable(buf.len())])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.faults.seen.vectored_writes.fetch_add(1, Ordering::Relaxed);
        let most = self.faults.writable(usize::MAX);
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).take(most).collect();
        self.write(&all)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Io for Faulty {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.set_write_timeout(timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }
}

impl Twin for Faulty {
    fn twin(_: &Connection<Self>) -> io::Result<Connection<Self>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn shut(_: &Connection<Self>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
