//! The Rust peers of the interop suite: `peers serve tonic|axum`, which prints `listening on ADDR` and ends when
//! stdin does, and `peers client ADDR SCENARIO… [idle=SECONDS]` or `peers client fresh N ADDR…`.

mod axum_server;
mod raw;
mod tonic_client;
mod tonic_server;

use std::error::Error;

use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const UNARY: &str = "/oneport.interop.Echo/Unary";
const BIDI: &str = "/oneport.interop.Echo/Bidi";
const FAIL: &str = "/oneport.interop.Echo/Fail";
const HANG: &str = "/oneport.interop.Echo/Hang";

/// `HealthCheckResponse { status: SERVING }`.
const SERVING: &[u8] = &[0x08, 0x01];
const BIG: usize = 4 << 20;
const MAX_MESSAGE: usize = 8 << 20;

#[tokio::main(worker_threads = 2)]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        // At the port that a server had which is started again, or at one of the system's choice.
        ["serve", kind, addr @ ..] if addr.len() < 2 => {
            let listener = TcpListener::bind(addr.first().unwrap_or(&"127.0.0.1:0")).await?;
            println!("listening on {}", listener.local_addr()?);
            tokio::select! {
                served = serve(kind, listener) => served,
                () = stdin_ends() => Ok(()),
            }
        }
        ["client", "fresh", count, addrs @ ..] => tonic_client::fresh(count.parse()?, addrs).await,
        ["client", addr, scenarios @ ..] => tonic_client::run(addr, scenarios).await,
        _ => Err("usage: peers serve KIND [ADDR] | peers client ADDR SCENARIO…".into()),
    }
}

async fn serve(kind: &str, listener: TcpListener) -> Outcome {
    match kind {
        "axum" => axum_server::serve(listener).await,
        "tonic" => tonic_server::serve(listener).await,
        _ => Err(format!("unknown server {kind}").into()),
    }
}

/// Keeps a server from outliving its driver.
async fn stdin_ends() {
    let mut rest = Vec::new();
    let _ = tokio::io::stdin().read_to_end(&mut rest).await;
}

/// A body that shows lost, doubled and swapped pieces in its hash.
fn pattern(size: usize) -> Vec<u8> {
    let mut state = size as u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(size)
    .collect()
}

fn sha(body: &[u8]) -> String {
    Sha256::digest(body).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
