//! What a routed connection reads and writes, as a stream of `futures_io`.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::listener::Io;
use crate::parcel::Source;

impl<T: Io> AsyncRead for Source<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Whole(io) => Pin::new(io).poll_read(cx, buf),
            Self::Share(link) => link.poll_fill(cx, buf),
        }
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Whole(io) => Pin::new(io).poll_read_vectored(cx, bufs),
            Self::Share(link) => match bufs.iter_mut().find(|buf| !buf.is_empty()) {
                Some(buf) => link.poll_fill(cx, buf),
                None => Poll::Ready(Ok(0)),
            },
        }
    }
}

impl<T: Io> AsyncWrite for Source<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Whole(io) => Pin::new(io).poll_write(cx, buf),
            Self::Share(link) => link.poll_write(cx, [buf].into_iter()),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Whole(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Share(link) => link.poll_write(cx, bufs.iter().map(|buf| &**buf)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(io) => Pin::new(io).poll_flush(cx),
            Self::Share(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(io) => Pin::new(io).poll_close(cx),
            Self::Share(link) => {
                link.close();
                Poll::Ready(Ok(()))
            }
        }
    }
}
