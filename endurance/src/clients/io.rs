//! A client's side of a connection: it can write in pieces, with pauses, and tells when it has heard the first word.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, Sleep};

use crate::random::Random;

#[derive(Debug)]
pub(crate) struct ClientIo {
    pub(crate) stream: TcpStream,
    random: Random,
    /// So many bytes still go out in pieces; then as they come.
    in_pieces: usize,
    pause: Option<Pin<Box<Sleep>>>,
    heard: Option<oneshot::Sender<()>>,
}

impl ClientIo {
    /// Every other connection writes in pieces, each in its own way.
    pub(crate) fn new(stream: TcpStream, random: &mut Random) -> Self {
        let in_pieces = if random.one_in(2) { random.below(300) } else { 0 };
        Self { stream, random: Random::new(random.next()), in_pieces, pause: None, heard: None }
    }

    /// From now on all is written as it comes.
    pub(crate) fn at_once(mut self) -> Self {
        self.in_pieces = 0;
        self
    }

    /// Ready when the first byte has come, or the connection has gone.
    pub(crate) fn first_word(&mut self) -> oneshot::Receiver<()> {
        let (heard, has_heard) = oneshot::channel();
        self.heard = Some(heard);
        has_heard
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.write_all(bytes).await.map_err(|error| format!("could not write: {error}"))
    }

    /// Hears exactly this.
    pub(crate) async fn hear(&mut self, expected: &[u8]) -> Result<(), String> {
        let mut heard = vec![0; expected.len()];
        let mut count = 0;
        while count < heard.len() {
            match self.read(&mut heard[count..]).await {
                Ok(0) => return Err(format!("the end after {count} of {} bytes", expected.len())),
                Ok(n) => count += n,
                Err(error) => return Err(format!("{error} after {count} of {} bytes", expected.len())),
            }
            if heard[..count] != expected[..count] {
                let at = heard.iter().zip(expected).position(|(a, b)| a != b).unwrap_or_default();
                let near = &heard[at.saturating_sub(16)..(at + 32).min(count)];
                return Err(format!(
                    "byte {at} of {} is another: {:?}",
                    expected.len(),
                    near.escape_ascii().to_string()
                ));
            }
        }
        Ok(())
    }

    /// Ends this side, and hears nothing but the end of the other one.
    pub(crate) async fn finish(&mut self) -> Result<(), String> {
        self.shutdown().await.map_err(|error| format!("could not end: {error}"))?;
        self.hear_end().await
    }

    /// Hears the end, in good order, and nothing before it.
    pub(crate) async fn hear_end(&mut self) -> Result<(), String> {
        let mut more = [0; 64];
        match self.read(&mut more).await {
            Ok(0) => Ok(()),
            Ok(n) => Err(format!("more than was to come: {:?}", more[..n].escape_ascii().to_string())),
            Err(error) => Err(format!("no end in good order: {error}")),
        }
    }

    /// All that still comes until the connection ends or breaks.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.read_to_end(&mut rest).await;
        rest
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if let Some(heard) = self.heard.take() {
            let _ = heard.send(());
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.in_pieces == 0 {
            return Pin::new(&mut self.stream).poll_write(cx, buf);
        }
        let piece = 1 + self.random.below(40);
        let part = &buf[..buf.len().min(piece).min(self.in_pieces)];
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, part))?;
        self.in_pieces -= written;
        // Around the patience of the mux, and mostly none.
        if self.random.one_in(3) {
            let pause = self.random.millis(12);
            self.pause = Some(Box::pin(sleep(pause)));
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
