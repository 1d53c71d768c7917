//! tonic as a backend.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use tower_service::Service;

use crate::raw::Raw;
use crate::{Outcome, FAIL, HANG, HEALTH, MAX_MESSAGE, SERVING};

pub async fn serve(listener: TcpListener) -> Outcome {
    Server::builder()
        .add_service(Echo)
        .add_service(Health)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Echo;

#[derive(Clone)]
struct Health;

impl NamedService for Echo {
    const NAME: &'static str = "oneport.interop.Echo";
}

impl NamedService for Health {
    const NAME: &'static str = "grpc.health.v1.Health";
}

macro_rules! by_hand {
    ($service:ty) => {
        impl Service<http::Request<Body>> for $service {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                Box::pin(async move { Ok(answer(request).await) })
            }
        }
    };
}

by_hand!(Echo);
by_hand!(Health);

async fn answer(request: http::Request<Body>) -> http::Response<Body> {
    let method = Method(request.uri().path().to_owned());
    Grpc::new(Raw).max_decoding_message_size(MAX_MESSAGE).streaming(method, request).await
}

struct Method(String);

type Messages = BoxStream<'static, Result<Bytes, Status>>;

impl StreamingService<Bytes> for Method {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let mut trailers = MetadataMap::new();
        trailers.insert("x-trailer", "end".parse().expect("plain text"));
        // tonic's way to send trailers with a status of OK as well.
        let end = stream::iter([Err(Status::with_metadata(tonic::Code::Ok, "", trailers.clone()))]);
        let messages: Messages = match self.0.as_str() {
            FAIL => {
                let failed = Status::with_metadata(tonic::Code::FailedPrecondition, "as asked", trailers);
                return Box::pin(async { Err(failed) });
            }
            HANG => stream::pending().boxed(),
            HEALTH => stream::iter([Ok(Bytes::from_static(SERVING))]).chain(end).boxed(),
            _ => request.into_inner().chain(end).boxed(),
        };
        let mut response = Response::new(messages);
        response.metadata_mut().insert("x-peer", "echo".parse().expect("plain text"));
        Box::pin(async { Ok(response) })
    }
}
