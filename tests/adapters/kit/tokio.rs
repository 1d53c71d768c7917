//! The kit of the tokio adapter: a runtime of its own for each mux.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{ready, Context, Poll};
use std::time::Duration;

use oneport::tokio::{Accepted, Arrival, Connection, Handle, Incoming, Io, Listener, Mux, StreamListener};
use oneport::{
    Address, Addresses, BridgeEnd, Counters, NotBare, NotServing, Reason, SplitConfig, StillOwed, Undecided,
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::{About, AcceptLog, Bare, Control, Faults, Hooks, Leads, Opened, Route, Served, Setup, Source};
use crate::adapters::PATIENCE;

#[derive(Debug)]
pub(crate) struct Kit;

impl super::Kit for Kit {
    fn open(&self, setup: Setup) -> Opened {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let runtime = Arc::new(Running(Some(runtime)));
        let _inside = runtime.get().enter();
        let Setup { config, limits, split, routes, source, hooks } = setup;
        match source {
            Source::Tcp { errors, calls } => {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
                listener.set_nonblocking(true).expect("a socket");
                let inner = TcpListener::from_std(listener).expect("a listener");
                let listener = Flaky { inner, errors: errors.into(), calls };
                serve(
                    &runtime,
                    Mux::with_bounds(listener, config, limits),
                    split,
                    routes,
                    hooks,
                    |_, io, _, _| Err(io),
                )
            }
            Source::Unix(path) => {
                let listener = UnixListener::bind(path).expect("a path");
                serve(
                    &runtime,
                    Mux::with_bounds(listener, config, limits),
                    split,
                    routes,
                    hooks,
                    |_, io, _, _| Err(io),
                )
            }
            Source::Handed | Source::Pairs => {
                let listener = StreamListener::new(Never, Address::Unknown);
                serve(&runtime, Mux::with_bounds(listener, config, limits), split, routes, hooks, connect)
            }
        }
    }
}

/// A runtime that is dropped without waiting for its tasks.
struct Running(Option<Runtime>);

impl Running {
    fn get(&self) -> &Runtime {
        self.0.as_ref().expect("there until it is dropped")
    }

    /// Runs `future`, but not for ever.
    fn wait<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let patient = async { timeout(PATIENCE, future).await };
        self.get().block_on(patient).map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "nothing happened"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

type Connect<T> = fn(&Handle<T>, StdUnixStream, Faults, Addresses) -> Result<(), StdUnixStream>;

fn serve<L: Listener<Io: AsFd>>(
    runtime: &Arc<Running>,
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
        faces.insert(name, Box::new(RouteFace { incoming: Some(incoming), runtime: runtime.clone() }));
    }
    let address = mux.local_address().expect("an address");
    let handle = mux.handle();
    let serving = runtime.get().spawn(mux.serve());
    let serving = Mutex::new(Some(serving));
    let control = ControlFace { handle, runtime: runtime.clone(), serving, connect };
    Opened { address, routes: faces, control: Box::new(control) }
}

fn connect(
    handle: &Handle<Faulty<UnixStream>>,
    end: StdUnixStream,
    faults: Faults,
    addresses: Addresses,
) -> Result<(), StdUnixStream> {
    end.set_nonblocking(true).expect("a socket");
    let inner = UnixStream::from_std(end).expect("a stream");
    let faulty = Faulty { inner, faults, was_ready: true };
    handle.connect(faulty, addresses).map_err(|NotServing(faulty)| faulty.inner.into_std().expect("a stream"))
}

struct ControlFace<T: Io> {
    handle: Handle<T>,
    runtime: Arc<Running>,
    serving: Mutex<Option<tokio::task::JoinHandle<()>>>,
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
        let serving = self.serving.lock().expect("no panic under it").take().expect("waited for once");
        let handle = self.handle.clone();
        let end = async move {
            serving.await.expect("serving does not panic");
            handle.counters()
        };
        self.runtime.wait(end).expect("serving comes back")
    }

    fn connect(&self, end: StdUnixStream, faults: Faults, addresses: Addresses) -> Result<(), StdUnixStream> {
        let _inside = self.runtime.get().enter();
        (self.connect)(&self.handle, end, faults, addresses)
    }
}

struct RouteFace<T: Io> {
    /// There until it is dropped.
    incoming: Option<Incoming<T>>,
    runtime: Arc<Running>,
}

impl<T: Io + AsFd> RouteFace<T> {
    fn incoming(&mut self) -> &mut Incoming<T> {
        self.incoming.as_mut().expect("there until it is dropped")
    }

    fn arrival(&mut self) -> Arrival<T> {
        let runtime = self.runtime.clone();
        runtime.wait(self.incoming().arrival()).expect("a connection comes").expect("not the end")
    }
}

impl<T: Io + AsFd> Route for RouteFace<T> {
    fn accept(&mut self) -> Option<Box<dyn Served>> {
        let runtime = self.runtime.clone();
        let connection = runtime.wait(self.incoming().accept()).expect("a connection, or the end")?;
        Some(Box::new(ServedFace { connection, runtime: self.runtime.clone() }))
    }

    fn refuse(&mut self, reason: Reason) {
        let arrival = self.arrival();
        let _inside = self.runtime.get().enter();
        arrival.refuse(reason);
    }

    fn forget(&mut self) {
        let arrival = self.arrival();
        let _inside = self.runtime.get().enter();
        drop(arrival);
    }

    fn bridge(&mut self, server: StdUnixStream) -> Box<dyn FnOnce() -> BridgeEnd> {
        let arrival = self.arrival();
        let runtime = self.runtime.clone();
        let _inside = runtime.get().enter();
        server.set_nonblocking(true).expect("a socket");
        let backend = UnixStream::from_std(server).expect("a stream");
        let Ok(bridge) = arrival.bridge(backend) else { panic!("not a share") };
        let runtime = self.runtime.clone();
        Box::new(move || runtime.wait(bridge).expect("it ends"))
    }

    fn local_address(&mut self) -> Address {
        self.incoming().local_address().clone()
    }
}

impl<T: Io> Drop for RouteFace<T> {
    fn drop(&mut self) {
        // What waits in it is refused on the runtime.
        let _inside = self.runtime.get().enter();
        drop(self.incoming.take());
    }
}

struct ServedFace<T> {
    connection: Connection<T>,
    runtime: Arc<Running>,
}

struct BareFace<T> {
    io: T,
    runtime: Arc<Running>,
}

impl<T: Io> Read for ServedFace<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.runtime.wait(self.connection.read(buf))?
    }
}

impl<T: Io> Write for ServedFace<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.runtime.wait(self.connection.write(buf))?
    }

    fn flush(&mut self) -> io::Result<()> {
        self.runtime.wait(self.connection.flush())?
    }
}

impl<T: Io + AsFd> Served for ServedFace<T> {
    fn finish(&mut self) -> io::Result<()> {
        self.runtime.wait(self.connection.shutdown())?
    }

    fn reset(self: Box<Self>) {
        SockRef::from(self.connection.inner().expect("not a share"))
            .set_linger(Some(Duration::ZERO))
            .expect("a socket");
    }

    fn write_vectored_once(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.runtime.wait(self.connection.write_vectored(bufs))?
    }

    fn writes_vectored(&self) -> Option<bool> {
        Some(AsyncWrite::is_write_vectored(&self.connection))
    }

    fn on_halves(self: Box<Self>, first: &mut [u8], answer: &[u8]) -> Box<dyn Served> {
        let Self { connection, runtime } = *self;
        let (mut reader, mut writer) = tokio::io::split(connection);
        let both = async {
            let (read, written) = tokio::join!(reader.read_exact(first), async {
                writer.write_all(answer).await?;
                writer.flush().await
            });
            read.and(written)
        };
        runtime.wait(both).and_then(|result| result).expect("both halves work");
        Box::new(Self { connection: reader.unsplit(writer), runtime })
    }

    fn about(&self) -> About {
        let connection = &self.connection;
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
        SockRef::from(self.connection.inner().expect("not a share")).tcp_nodelay().ok()
    }

    fn owed(&self) -> Option<StillOwed> {
        self.connection.owed()
    }

    fn into_inner(self: Box<Self>) -> Result<Box<dyn Bare>, (Box<dyn Served>, StillOwed)> {
        let Self { connection, runtime } = *self;
        match connection.into_inner() {
            Ok(io) => Ok(Box::new(BareFace { io, runtime })),
            Err(NotBare { connection, owed }) => Err((Box::new(Self { connection, runtime }), owed)),
        }
    }
}

impl<T: Io> Read for BareFace<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.runtime.wait(self.io.read(buf))?
    }
}

impl<T: Io> Write for BareFace<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.runtime.wait(self.io.write(buf))?
    }

    fn flush(&mut self) -> io::Result<()> {
        self.runtime.wait(self.io.flush())?
    }
}

impl<T: Io> Bare for BareFace<T> {}

/// A TCP listener whose first calls fail.
struct Flaky {
    inner: TcpListener,
    errors: VecDeque<i32>,
    calls: Arc<AcceptLog>,
}

impl Listener for Flaky {
    type Io = TcpStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted<TcpStream>>>> {
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
    type Item = io::Result<Accepted<Faulty<UnixStream>>>;

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

impl<S: AsFd> AsFd for Faulty<S> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<S> Faulty<S> {
    /// Whether this write is one that is not ready at first.
    fn stutters(&mut self, cx: &mut Context<'_>) -> bool {
        self.was_ready = !self.was_ready;
        let stutters = self.faults.stutters && !self.was_ready;
        if stutters {
            cx.waker().wake_by_ref();
        }
        stutters
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Faulty<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut part = vec![0; this.faults.readable(buf.remaining())];
        let mut part = ReadBuf::new(&mut part);
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
        this.faults.seen.read.fetch_add(part.filled().len(), Ordering::Relaxed);
        buf.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Faulty<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.stutters(cx) {
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

    fn is_write_vectored(&self) -> bool {
        self.faults.is_vectored
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
