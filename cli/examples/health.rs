//! Asks a gRPC server whether it is well, as `grpcurl -plaintext ADDR grpc.health.v1.Health/Check` does:
//! `cargo run -p oneport-cli --example health -- http://127.0.0.1:8080`.

use std::process::ExitCode;
use std::time::Duration;

use tonic::transport::Endpoint;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::HealthCheckRequest;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: health http://HOST:PORT");
        return ExitCode::from(2);
    };
    match check(address).await {
        Ok(status) => {
            println!("{status}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("health: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn check(address: String) -> Result<&'static str, Box<dyn std::error::Error>> {
    let endpoint = Endpoint::from_shared(address)?.timeout(Duration::from_secs(10));
    let mut client = HealthClient::new(endpoint.connect().await?);
    let answer = client.check(HealthCheckRequest { service: String::new() }).await?;
    Ok(answer.into_inner().status().as_str_name())
}
