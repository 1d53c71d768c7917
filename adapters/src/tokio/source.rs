//! What a routed connection reads and writes, as a stream of tokio. As with sockets, a task that never has to wait for a share
//! lets others have their turn.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;

use super::listener::Io;
use crate::parcel::Source;
use crate::split::Link;

fn write<'a>(
    link: &Link,
    cx: &mut Context<'_>,
    slices: impl Iterator<Item = &'a [u8]>,
) -> Poll<io::Result<usize>> {
    let turn = ready!(poll_proceed(cx));
    let written = ready!(link.poll_write(cx, slices));
    turn.made_progress();
    Poll::Ready(written)
}

impl<T: Io> AsyncRead for Source<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(io) => Pin::new(io).poll_read(cx, buf),
            Self::Share(link) => {
                let turn = ready!(poll_proceed(cx));
                let most = buf.remaining();
                let read = ready!(link.poll_read(cx, most, |bytes| buf.put_slice(bytes)));
                turn.made_progress();
                Poll::Ready(read.map(|_| ()))
            }
        }
    }
}

impl<T: Io> AsyncWrite for Source<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Whole(io) => Pin::new(io).poll_write(cx, buf),
            Self::Share(link) => write(link, cx, [buf].into_iter()),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Whole(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Share(link) => write(link, cx, bufs.iter().map(|buf| &**buf)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Whole(io) => io.is_write_vectored(),
            Self::Share(_) => true,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(io) => Pin::new(io).poll_flush(cx),
            Self::Share(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(io) => Pin::new(io).poll_shutdown(cx),
            Self::Share(link) => {
                link.close();
                Poll::Ready(Ok(()))
            }
        }
    }
}
