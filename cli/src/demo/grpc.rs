//! The gRPC half of the demo: the standard health service, with server reflection, so that clients need no `.proto` files.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::Stream;
use tonic::transport::server::Connected;
use tonic::transport::Server;
use tonic_health::ServingStatus;

/// The service whose health the demo reports, beside the server as a whole (the empty name).
pub(crate) const SERVICE: &str = "oneport.demo";

/// Serves the connections of `incoming`; once it has ended, asks them to end, and returns when they have.
///
/// # Errors
/// None that is known: tonic passes over those of `incoming`.
pub(crate) async fn grpc<IO>(incoming: impl Stream<Item = io::Result<IO>>) -> io::Result<()>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status(SERVICE, ServingStatus::Serving).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // The older version as well: some tools ask for nothing else.
    let v1 = reflection().build_v1().map_err(io::Error::other)?;
    let v1alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
    Server::builder()
        .add_service(health)
        .add_service(v1)
        .add_service(v1alpha)
        // Without a signal, even one that never comes, it would not wait for the connections.
        .serve_with_incoming_shutdown(incoming, std::future::pending())
        .await
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
    use tokio_stream::StreamExt as _;
    use tonic::transport::Endpoint;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::ServerReflectionRequest;

    fn ask(message: MessageRequest) -> ServerReflectionRequest {
        ServerReflectionRequest { host: String::new(), message_request: Some(message) }
    }

    #[tokio::test]
    async fn health_is_served_and_described_by_reflection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(grpc(TcpListenerStream::new(listener)));
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();

        let mut health = HealthClient::new(channel.clone());
        for service in ["", SERVICE] {
            let request = HealthCheckRequest { service: service.to_owned() };
            let status = health.check(request).await.unwrap().into_inner().status();
            assert_eq!(
                status,
                tonic_health::pb::health_check_response::ServingStatus::Serving,
                "{service:?}"
            );
        }
        let unknown = HealthCheckRequest { service: "nobody".to_owned() };
        assert_eq!(health.check(unknown).await.unwrap_err().code(), tonic::Code::NotFound);

        let questions = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("grpc.health.v1.Health".to_owned())),
        ];
        let mut answers = ServerReflectionClient::new(channel)
            .server_reflection_info(tokio_stream::iter(questions))
            .await
            .unwrap()
            .into_inner();
        let Some(MessageResponse::ListServicesResponse(list)) =
            answers.next().await.unwrap().unwrap().message_response
        else {
            panic!("no list of services");
        };
        let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
        assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
        let Some(MessageResponse::FileDescriptorResponse(file)) =
            answers.next().await.unwrap().unwrap().message_response
        else {
            panic!("no descriptor");
        };
        assert!(!file.file_descriptor_proto.is_empty());
        server.abort();
    }

    /// The end of what comes in is not the end of what goes on.
    #[tokio::test]
    async fn calls_in_progress_are_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let (accepted, channel) = tokio::join!(listener.accept(), endpoint.connect());
        let (sender, incoming) = tokio::sync::mpsc::channel(1);
        sender.send(accepted.map(|(stream, _)| stream)).await.unwrap();
        let mut server = tokio::spawn(grpc(ReceiverStream::new(incoming)));

        let request = HealthCheckRequest { service: SERVICE.to_owned() };
        let watched = HealthClient::new(channel.unwrap()).watch(request).await.unwrap();
        let mut changes = watched.into_inner();
        changes.next().await.unwrap().unwrap();
        drop(sender);
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut server).await.is_err(), "it waits");
        drop(changes);
        server.await.unwrap().unwrap();
    }
}
