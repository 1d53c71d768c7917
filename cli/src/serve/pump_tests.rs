//! The pump between sockets.

use super::*;
use std::future::poll_fn;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (near, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.expect("connected"), accepted.expect("accepted").0)
}

/// A client, a backend, and the pump between them.
async fn pumped() -> (TcpStream, TcpStream, tokio::task::JoinHandle<PumpEnd>) {
    let (client, accepted) = pair().await;
    let (connected, backend) = pair().await;
    let (mut accepted, mut connected) = (Socket::Tcp(accepted), Socket::Tcp(connected));
    let pump = tokio::spawn(async move {
        let (mut pump, pipes) = (Pump::default(), Pipes::new());
        poll_fn(|cx| pump.poll(cx, &mut accepted, &mut connected, &pipes)).await
    });
    (client, backend, pump)
}

#[tokio::test]
async fn each_direction_ends_on_its_own() {
    let (mut client, mut backend, pump) = pumped().await;
    client.write_all(b"question").await.expect("written");
    client.shutdown().await.expect("half closed");
    let mut question = Vec::new();
    backend.read_to_end(&mut question).await.expect("an end");
    assert_eq!(question, b"question");
    backend.write_all(b"answer").await.expect("written");
    drop(backend);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("an end");
    assert_eq!(answer, b"answer");
    assert_eq!(pump.await.expect("no panic"), PumpEnd::Done);
}

#[tokio::test]
async fn a_reset_is_a_cut() {
    let (client, backend, pump) = pumped().await;
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(client);
    assert_eq!(timeout(Duration::from_secs(5), pump).await.expect("an end").expect("no panic"), PumpEnd::Cut);
    drop(backend);
}

/// A backend that resets while the client uploads: the client must not see an end that looks whole, whoever notices first.
#[tokio::test]
async fn a_reset_that_a_write_runs_into_stays_a_reset() {
    for _ in 0..50 {
        let (mut client, backend, pump) = pumped().await;
        let upload = tokio::spawn(async move {
            let chunk = vec![7; 64 * 1024];
            while client.write_all(&chunk).await.is_ok() {}
        });
        tokio::task::yield_now().await;
        socket2::SockRef::from(&backend).set_linger(Some(Duration::ZERO)).expect("an option");
        drop(backend);
        let end = timeout(Duration::from_secs(10), pump).await.expect("an end").expect("no panic");
        assert_eq!(end, PumpEnd::Cut);
        upload.abort();
    }
}

/// A client that sends without reading and goes, and a backend that reads only what it could answer.
#[tokio::test]
async fn a_client_that_never_reads_leaves_nothing_behind() {
    let (mut client, mut backend, pump) = pumped().await;
    let echo = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match backend.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    if backend.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    // Until every buffer on the way there and back is full.
    let chunk = vec![7; 1 << 20];
    while timeout(Duration::from_millis(300), client.write_all(&chunk)).await.is_ok() {}
    drop(client);
    timeout(Duration::from_secs(10), pump).await.expect("the pump ends").expect("no panic");
    timeout(Duration::from_secs(10), echo).await.expect("the backend is told").expect("no panic");
}
