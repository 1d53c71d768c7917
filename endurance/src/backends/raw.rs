//! Servers that give back what comes.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What an SSH server says first.
pub(crate) const BANNER: &[u8] = b"SSH-2.0-endurance\r\n";

/// Says something, then gives back all that comes, then ends its side.
pub(super) async fn echo<T: AsyncRead + AsyncWrite + Unpin>(io: &mut T, first: &[u8]) {
    if io.write_all(first).await.is_err() {
        return;
    }
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match io.read(&mut buffer).await {
            Ok(0) => {
                let _ = io.shutdown().await;
                return;
            }
            Ok(n) if io.write_all(&buffer[..n]).await.is_ok() => {}
            _ => return,
        }
    }
}
