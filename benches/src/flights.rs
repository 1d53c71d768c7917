//! The recorded openings of real clients, as the suite has them, cut where their clients waited.

use oneport_core::{matchers, Matcher};

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/flights.rs"]
mod recorded;

use recorded::{Speaks, FLIGHTS};

/// The places of the three routes that every flight is put before: gRPC, HTTP/1, anything.
pub const ROUTES: [&str; 3] = ["grpc", "http1", "any"];

/// What one client sends.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    /// Its client.
    pub name: &'static str,
    /// Reads, in order.
    pub segments: &'static [&'static [u8]],
    /// Whether it falls silent behind the first segment until the server has spoken.
    pub waits: bool,
    /// The index in [`ROUTES`] where it must end.
    pub route: usize,
    speaks: Speaks,
}

impl Flight {
    /// One route that looks at what such a client says, and does not take it.
    pub fn near_miss(&self) -> Matcher {
        match self.speaks {
            Speaks::Http1 | Speaks::Http2 => matchers::authority("no.example"),
            Speaks::Ssh => matchers::prefix("SSH-1."),
            Speaks::Tls => matchers::sni("no.example"),
        }
    }

    /// Route `n` of many, all of which could match such a client and none of which does.
    pub fn another_near_miss(&self, n: usize) -> Matcher {
        let host = format!("host-{n}.example");
        match (self.speaks, n % 4) {
            (Speaks::Ssh, _) => matchers::prefix(format!("SSH-1.{n}")),
            (Speaks::Tls, 0 | 2) => matchers::sni(host),
            (Speaks::Tls, _) => matchers::alpn(format!("protocol-{n}")),
            (Speaks::Http2, 3) => matchers::grpc_service(format!("package.Service{n}")),
            (Speaks::Http1 | Speaks::Http2, 2) => {
                matchers::header("x-tenant", matchers::is(format!("tenant-{n}")))
            }
            (Speaks::Http1 | Speaks::Http2, 1) => matchers::path_prefix(format!("/service-{n}")),
            (Speaks::Http1 | Speaks::Http2, _) => matchers::authority(host),
        }
    }

    /// Whether it speaks HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.speaks == Speaks::Http2
    }

    /// All that it sends.
    pub fn bytes(&self) -> Vec<u8> {
        self.segments.concat()
    }
}

/// Every recording that ends in a verdict. Those of clients that were never answered (`.silent`) are the beginnings of others.
pub fn all() -> Vec<Flight> {
    let is_silent = |name: &str| FLIGHTS.iter().any(|flight| flight.name == format!("{name}.silent"));
    let whole = FLIGHTS.iter().filter(|flight| !flight.name.ends_with(".silent"));
    whole
        .map(|flight| {
            let mut rest = flight.bytes;
            let segments: Vec<&'static [u8]> = flight
                .segments
                .iter()
                .map(|&length| {
                    let (segment, behind) = rest.split_at(length);
                    rest = behind;
                    segment
                })
                .collect();
            Flight {
                name: flight.name,
                // As long as the program.
                segments: segments.leak(),
                waits: is_silent(flight.name),
                route: match flight.speaks {
                    Speaks::Http1 => 1,
                    _ if flight.name.starts_with("grpc") => 0,
                    _ => 2,
                },
                speaks: flight.speaks,
            }
        })
        .collect()
}
