//! tonic as a client. It sends its first request at once, unlike the other gRPC clients.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use serde_json::{json, Value};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::raw::Raw;
use crate::{pattern, sha, Outcome, BIDI, BIG, FAIL, HANG, HEALTH, MAX_MESSAGE, UNARY};

const LIMIT: Duration = Duration::from_secs(30);

/// What a client observed, and whether it was as it should be.
type Seen = (Value, bool);

pub async fn run(addr: &str, scenarios: &[&str]) -> Outcome {
    let mut idle = Duration::from_secs(11);
    for name in scenarios {
        if let Some(seconds) = name.strip_prefix("idle=") {
            idle = Duration::from_secs_f64(seconds.parse()?);
            continue;
        }
        let (obs, ok) = match *name {
            "one" => one(addr).await,
            "many" => many(addr).await,
            "bidi" => bidi(addr).await,
            "big" => big(addr).await,
            "ends" => ends(addr).await,
            "idle" => idle_then_used(addr, idle).await,
            "burst" => burst(addr).await,
            "refused" => refused(addr, false).await,
            "refused-then-served" => refused(addr, true).await,
            _ => return Err(format!("unknown scenario {name}").into()),
        };
        println!("{}", json!({ "scenario": name, "ok": ok, "obs": obs }));
    }
    Ok(())
}

/// Time to first response of fresh connections; the addresses in turn, so that what disturbs one disturbs all.
pub async fn fresh(count: usize, addrs: &[&str]) -> Outcome {
    let mut millis = vec![Vec::new(); addrs.len()];
    for _ in 0..count {
        for (addr, millis) in addrs.iter().zip(&mut millis) {
            let begin = Instant::now();
            let seen = call(&mut dial(addr), UNARY, b"first", LIMIT).await;
            if seen["code"] != 0 {
                return Err(format!("the first call failed: {seen}").into());
            }
            millis.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
    }
    println!("{}", json!(millis));
    Ok(())
}

fn dial(addr: &str) -> Grpc<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).expect("an address");
    let endpoint = endpoint.http2_keep_alive_interval(Duration::from_secs(1)).keep_alive_while_idle(true);
    Grpc::new(endpoint.connect_lazy()).max_decoding_message_size(MAX_MESSAGE)
}

async fn call(client: &mut Grpc<Channel>, method: &'static str, message: &[u8], within: Duration) -> Value {
    let message = Bytes::copy_from_slice(message);
    let path = http::uri::PathAndQuery::from_static(method);
    let rpc = async {
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = Request::new(stream::iter([message]));
        let mut answer = client.streaming(request, path, Raw).await?;
        let headers = lines(answer.metadata());
        let body = answer.get_mut().message().await?.unwrap_or_default();
        // The status comes behind the message.
        while answer.get_mut().message().await?.is_some() {}
        let trailers = answer.get_mut().trailers().await?.unwrap_or_default();
        Ok::<_, Status>((headers, body, lines(&trailers)))
    };
    let done = tokio::time::timeout(within, rpc).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
    match done {
        Ok((headers, body, trailers)) => {
            json!({ "code": 0, "headers": headers, "trailers": trailers, "sha": sha(&body) })
        }
        Err(status) => {
            // How a connection's failure is told is a race; that it was the connection is not.
            if status.source().is_some() && status.code() != Code::DeadlineExceeded {
                return json!({ "code": "connection failed" });
            }
            let message = if status.code() == Code::FailedPrecondition { status.message() } else { "" };
            json!({ "code": status.code() as i32, "message": message, "trailers": lines(status.metadata()) })
        }
    }
}

/// Fields in an order that does not depend on the run, less the date.
fn lines(fields: &MetadataMap) -> Vec<String> {
    let mut out: Vec<String> = fields
        .iter()
        .filter_map(|field| match field {
            KeyAndValueRef::Ascii(name, _) if name == "date" => None,
            KeyAndValueRef::Ascii(name, value) => Some(format!("{name}: {}", value.to_str().unwrap_or("?"))),
            KeyAndValueRef::Binary(name, value) => Some(format!("{name}: {value:?}")),
        })
        .collect();
    out.sort();
    out
}

async fn one(addr: &str) -> Seen {
    let mut client = dial(addr);
    let health = call(&mut client, HEALTH, b"", LIMIT).await;
    let unary = call(&mut client, UNARY, b"hello", LIMIT).await;
    let ok = health["code"] == 0 && unary["sha"] == sha(b"hello");
    (json!([health, unary]), ok)
}

async fn many(addr: &str) -> Seen {
    let mut client = dial(addr);
    let mut distinct = BTreeMap::new();
    for i in 0..200 {
        let message = format!("message {i}");
        let seen = call(&mut client, UNARY, message.as_bytes(), LIMIT).await;
        let key = format!("code {}, echoed {}", seen["code"], seen["sha"] == sha(message.as_bytes()));
        *distinct.entry(key).or_insert(0) += 1;
    }
    let ok = distinct.get("code 0, echoed true") == Some(&200);
    (json!(distinct), ok)
}

/// Sends each message only when the one before has come back.
async fn bidi(addr: &str) -> Seen {
    let mut client = dial(addr);
    let mut echoed = 0;
    let talk = async {
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let (sender, receiver) = mpsc::channel(1);
        let path = http::uri::PathAndQuery::from_static(BIDI);
        let request = Request::new(ReceiverStream::new(receiver));
        // A server may send its head only with its first message.
        let _ = sender.send(Bytes::from(pattern(1000))).await;
        let mut answer = client.streaming(request, path, Raw).await?;
        for i in 0..20 {
            if i > 0 {
                let _ = sender.send(Bytes::from(pattern(1000 + i))).await;
            }
            let message = answer.get_mut().message().await?;
            echoed += usize::from(message.as_deref() == Some(&pattern(1000 + i)[..]));
        }
        drop(sender);
        while answer.get_mut().message().await?.is_some() {}
        Ok::<_, Status>(lines(&answer.get_mut().trailers().await?.unwrap_or_default()))
    };
    let done = tokio::time::timeout(LIMIT, talk).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
    let (code, trailers) = match done {
        Ok(trailers) => (0, trailers),
        Err(status) => (status.code() as i32, lines(status.metadata())),
    };
    (json!({ "echoed": echoed, "code": code, "trailers": trailers }), echoed == 20 && code == 0)
}

async fn big(addr: &str) -> Seen {
    let body = pattern(BIG);
    let seen = call(&mut dial(addr), UNARY, &body, LIMIT).await;
    let ok = seen["code"] == 0 && seen["sha"] == sha(&body);
    (seen, ok)
}

async fn ends(addr: &str) -> Seen {
    let mut client = dial(addr);
    let failed = call(&mut client, FAIL, b"", LIMIT).await;
    let hung = call(&mut client, HANG, b"", Duration::from_millis(300)).await;
    let after = call(&mut client, UNARY, b"after", LIMIT).await;
    let ok = failed["code"] == 9 && hung["code"] == 4 && after["code"] == 0;
    (json!([failed, hung, after]), ok)
}

async fn idle_then_used(addr: &str, idle: Duration) -> Seen {
    let mut client = dial(addr);
    let ready = client.ready().await.is_ok();
    tokio::time::sleep(idle).await;
    let before = call(&mut client, UNARY, b"first", LIMIT).await;
    tokio::time::sleep(idle / 4).await;
    let after = call(&mut client, UNARY, b"second", LIMIT).await;
    let ok = ready && before["code"] == 0 && after["code"] == 0;
    (json!([ready, before, after]), ok)
}

async fn refused(addr: &str, another: bool) -> Seen {
    let mut client = dial(addr);
    let begin = Instant::now();
    let seen = call(&mut client, UNARY, b"refused", LIMIT).await;
    let millis = begin.elapsed().as_secs_f64() * 1000.0;
    let mut told = json!({ "saw": format!("code {}", seen["code"]), "millis": millis });
    // A reconnection would be seen.
    tokio::time::sleep(Duration::from_millis(300)).await;
    if another {
        let after = call(&mut client, HEALTH, b"", LIMIT).await;
        told["then"] = json!(format!("code {}", after["code"]));
    }
    (told, true)
}

async fn burst(addr: &str) -> Seen {
    let calls = (0..20).map(|_| async { call(&mut dial(addr), UNARY, b"burst", LIMIT).await });
    let seen = join_all(calls).await;
    let ok = seen.iter().all(|call| call["code"] == 0);
    (json!(seen), ok)
}
