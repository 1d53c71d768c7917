//! The kit of the smol adapter: a thread for each mux that serves, and no executor but that.

use std::collections::{BTreeMap, VecDeque};
use std::future::{poll_fn, Future};
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Mutex};
use std::task::{ready, Context, Poll};
use std::thread;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use oneport::smol::{
    Accepted, Arrival, Connection, Handle, Incoming, Io, Listener, Mux, Socket, StreamListener,
};
use oneport::{
    Address, Addresses, BridgeEnd, Counters, NotBare, NotServing, Reason, SplitConfig, StillOwed, Undecided,
};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Timer};
use socket2::SockRef;

use super::{About, AcceptLog, Bare, Control, Faults, Hooks, Leads, Opened, Route, Served, Setup, Source};
use crate::adapters::PATIENCE;

#[derive(Debug)]
pub(crate) struct Kit;

impl super::Kit for Kit {
    fn open(&self, setup: Setup) -> Opened {
        let Setup { config, limits, split, routes, source, hooks } = setup;
        match source {
            Source::Tcp { errors, calls } => {
                let inner = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a port");
                let listener = Flaky { inner, errors: errors.into(), calls };
                serve(Mux::with_bounds(listener, config, limits), split, routes, hooks, |_, io, _, _| Err(io))
            }
            Source::Unix(path) => {
                let listener = Async::<UnixListener>::bind(path).expect("a path");
                serve(Mux::with_bounds(listener, config, limits), split, routes, hooks, |_, io, _, _| Err(io))
            }
            Source::Handed | Source::Pairs => {
                let listener = StreamListener::new(Never, Address::Unknown);
                serve(Mux::with_bounds(listener, config, limits), split, routes, hooks, connect)
            }
        }
    }
}

/// Runs `future`, but not for ever.
fn wait<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let patient = smol::future::or(async { Ok(future.await) }, async {
        Timer::after(PATIENCE).await;
        Err(io::Error::new(io::ErrorKind::TimedOut, "nothing happened"))
    });
    smol::block_on(patient)
}

type Connect<T> = fn(&Handle<T>, UnixStream, Faults, Addresses) -> Result<(), UnixStream>;

fn serve<L: Listener<Io: Inner>>(
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
        faces.insert(name, Box::new(RouteFace(incoming)));
    }
    let address = mux.local_address().expect("an address");
    let handle = mux.handle();
    let (ended, serving) = channel();
    let counting = handle.clone();
    thread::spawn(move || {
        smol::block_on(mux.serve());
        let _ = ended.send(counting.counters());
    });
    let control = ControlFace { handle, serving: Mutex::new(serving), connect };
    Opened { address, routes: faces, control: Box::new(control) }
}

fn connect(
    handle: &Handle<Faulty<Socket<UnixStream>>>,
    end: UnixStream,
    faults: Faults,
    addresses: Addresses,
) -> Result<(), UnixStream> {
    let inner = Socket::new(end).expect("a stream");
    let faulty = Faulty { inner, faults, was_ready: true };
    handle.connect(faulty, addresses).map_err(|NotServing(faulty)| {
        let end = faulty.inner.into_inner().into_inner().expect("a stream");
        end.set_nonblocking(false).expect("a socket");
        end
    })
}

struct ControlFace<T: Io> {
    handle: Handle<T>,
    serving: Mutex<Receiver<Counters>>,
    connect: Connect<T>,
}

impl<T: Io> Control for ControlFace<T> {
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

    fn connect(&self, end: UnixStream, faults: Faults, addresses: Addresses) -> Result<(), UnixStream> {
        (self.connect)(&self.handle, end, faults, addresses)
    }
}

impl<T: Io> Drop for ControlFace<T> {
    fn drop(&mut self) {
        // The serving thread ends.
        self.handle.shutdown();
    }
}

struct RouteFace<T: Io>(Incoming<T>);

impl<T: Io> RouteFace<T> {
    fn arrival(&mut self) -> Arrival<T> {
        wait(self.0.arrival()).expect("a connection comes").expect("not the end")
    }
}

impl<T: Io + Inner> Route for RouteFace<T> {
    fn accept(&mut self) -> Option<Box<dyn Served>> {
        let connection = wait(self.0.accept()).expect("a connection, or the end")?;
        Some(Box::new(ServedFace(connection)))
    }

    fn refuse(&mut self, reason: Reason) {
        self.arrival().refuse(reason);
    }

    fn forget(&mut self) {
        drop(self.arrival());
    }

    fn bridge(&mut self, server: UnixStream) -> Box<dyn FnOnce() -> BridgeEnd> {
        let backend = Socket::new(server).expect("a socket");
        let Ok(bridge) = self.arrival().bridge(backend) else { panic!("not a share") };
        Box::new(move || wait(bridge).expect("it ends"))
    }

    fn local_address(&mut self) -> Address {
        self.0.local_address().clone()
    }
}

/// The socket inside of an inner stream.
trait Inner {
    fn socket(&self) -> SockRef<'_>;
}

impl Inner for Socket<TcpStream> {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.get_ref())
    }
}

impl Inner for Socket<UnixStream> {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.get_ref())
    }
}

impl<S: Inner> Inner for Faulty<S> {
    fn socket(&self) -> SockRef<'_> {
        self.inner.socket()
    }
}

struct ServedFace<T>(Connection<T>);

struct BareFace<T>(T);

impl<T: Io> Read for ServedFace<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        wait(self.0.read(buf))?
    }
}

impl<T: Io> Write for ServedFace<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        wait(self.0.write(buf))?
    }

    fn flush(&mut self) -> io::Result<()> {
        wait(self.0.flush())?
    }
}

impl<T: Io + Inner> Served for ServedFace<T> {
    fn finish(&mut self) -> io::Result<()> {
        wait(self.0.close())?
    }

    fn reset(self: Box<Self>) {
        self.0.inner().expect("not a share").socket().set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    fn write_vectored_once(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        wait(self.0.write_vectored(bufs))?
    }

    fn writes_vectored(&self) -> Option<bool> {
        None
    }

    fn on_halves(self: Box<Self>, first: &mut [u8], answer: &[u8]) -> Box<dyn Served> {
        // As `futures` splits: both halves have the whole, one call at a time.
        let whole = Mutex::new(self.0);
        let reading = async {
            let mut at = 0;
            while at < first.len() {
                let read = poll_fn(|cx| {
                    let mut whole = whole.lock().expect("no panic under it");
                    Pin::new(&mut *whole).poll_read(cx, &mut first[at..])
                });
                match read.await.expect("it reads") {
                    0 => panic!("the end after {at} bytes"),
                    n => at += n,
                }
            }
        };
        let writing = async {
            let mut rest = answer;
            while !rest.is_empty() {
                let written = poll_fn(|cx| {
                    let mut whole = whole.lock().expect("no panic under it");
                    Pin::new(&mut *whole).poll_write(cx, rest)
                });
                rest = &rest[written.await.expect("it writes")..];
            }
            poll_fn(|cx| Pin::new(&mut *whole.lock().expect("no panic under it")).poll_flush(cx)).await
        };
        let ((), flushed) = wait(smol::future::zip(reading, writing)).expect("both halves work");
        flushed.expect("it writes");
        Box::new(Self(whole.into_inner().expect("no panic under it")))
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
        self.0.inner().expect("not a share").socket().tcp_nodelay().ok()
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

impl<T: Io> Read for BareFace<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        wait(self.0.read(buf))?
    }
}

impl<T: Io> Write for BareFace<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        wait(self.0.write(buf))?
    }

    fn flush(&mut self) -> io::Result<()> {
        wait(self.0.flush())?
    }
}

impl<T: Io> Bare for BareFace<T> {}

/// A TCP listener whose first calls fail.
#[derive(Debug)]
pub(super) struct Flaky {
    pub(super) inner: Async<TcpListener>,
    pub(super) errors: VecDeque<i32>,
    pub(super) calls: Arc<AcceptLog>,
}

impl Listener for Flaky {
    type Io = Socket<TcpStream>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted<Self::Io>>>> {
        if let Some(error) = self.errors.pop_front() {
            self.calls.note();
            return Poll::Ready(Some(Err(io::Error::from_raw_os_error(error))));
        }
        Listener::poll_accept(&mut self.inner, cx)
    }

    fn local_address(&self) -> io::Result<Address> {
        self.inner.local_address()
    }
}

/// No connection, and no end.
struct Never;

impl futures_core::Stream for Never {
    type Item = io::Result<Accepted<Faulty<Socket<UnixStream>>>>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

/// A stream with [`Faults`].
#[derive(Debug)]
struct Faulty<S> {
    inner: S,
    faults: Faults,
    was_ready: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for Faulty<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let part = this.faults.readable(buf.len());
        let n = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buf[..part]))?;
        this.faults.seen.read.fetch_add(n, Ordering::Relaxed);
        Poll::Ready(Ok(n))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Faulty<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.was_ready = !this.was_ready;
        if this.faults.stutters && !this.was_ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.faults.seen.writes.fetch_add(1, Ordering::Relaxed);
        let part = &buf[..this.faults.writable(buf.len())];
        Pin::new(&mut this.inner).poll_write(cx, part)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.faults.seen.vectored_writes.fetch_add(1, Ordering::Relaxed);
        let most = self.faults.writable(usize::MAX);
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).take(most).collect();
        self.poll_write(cx, &all)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}
