//! What the demo prints: commands to copy.

use crate::address::Address;

/// What to try with a demo that listens at `address` (with the port that it got).
pub(crate) fn instructions(address: &Address) -> String {
    let Address::Unix(path) = address else {
        return over_tcp(&reachable(address));
    };
    let path = path.display();
    format!(
        "oneport demo: gRPC and REST behind one socket, {path}

  curl --unix-socket {path} http://localhost/hello/http1
  curl --unix-socket {path} --http2-prior-knowledge http://localhost/hello/http2
  grpcurl -plaintext -unix {path} list
  grpcurl -plaintext -unix {path} grpc.health.v1.Health/Check

Ctrl-C ends it.
"
    )
}

fn over_tcp(at: &str) -> String {
    let (host, port) = at.rsplit_once(':').unwrap_or((at, ""));
    let host = host.trim_matches(['[', ']']);
    format!(
        "oneport demo: gRPC and REST on one port, {at}

REST, over HTTP/1.1 and over HTTP/2:
  curl http://{at}/hello/http1
  curl --http2-prior-knowledge http://{at}/hello/http2
  curl --http2-prior-knowledge -d 'as it comes' http://{at}/echo
  curl http://{at}/headers

gRPC, with server reflection, on the same port:
  grpcurl -plaintext {at} list
  grpcurl -plaintext {at} grpc.health.v1.Health/Check

Without any of these tools, by hand:
  printf 'GET /hello/nc HTTP/1.0\\r\\n\\r\\n' | nc {host} {port}

Ctrl-C ends it.
"
    )
}

/// An address that a client on this machine can use: one to listen everywhere is none to connect to.
fn reachable(address: &Address) -> String {
    match address {
        Address::Ip(ip) if ip.ip().is_unspecified() => format!("localhost:{}", ip.port()),
        address => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_an_address_that_can_be_connected_to() {
        for (listen, part) in [
            ("127.0.0.1:8080", "curl http://127.0.0.1:8080/hello/http1"),
            ("0.0.0.0:8080", "grpcurl -plaintext localhost:8080 list"),
            ("[::]:8080", "nc localhost 8080"),
            ("[::1]:8080", "nc ::1 8080"),
            ("[::1]:8080", "curl --http2-prior-knowledge http://[::1]:8080/hello/http2"),
            ("unix:/run/demo.sock", "curl --unix-socket /run/demo.sock http://localhost/hello/http1"),
        ] {
            let text = instructions(&Address::parse_listen(listen).unwrap());
            assert!(text.contains(part), "{listen}: {text}");
        }
    }
}
