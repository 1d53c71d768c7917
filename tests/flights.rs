//! The recorded openings of real clients; `flights/MANIFEST.md` says how they were made.

/// What one client sent, up to and including its first request.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) name: &'static str,
    pub(crate) speaks: Speaks,
    pub(crate) bytes: &'static [u8],
    /// Bytes per read of the recorder.
    pub(crate) segments: &'static [usize],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
    Ssh,
    Tls,
}

macro_rules! flights {
    ($($name:literal $speaks:ident $segments:expr;)*) => {
        &[$(Flight {
            name: $name,
            speaks: Speaks::$speaks,
            bytes: include_bytes!(concat!("flights/", $name, ".bin")),
            segments: &$segments,
        }),*]
    };
}

pub(crate) const FLIGHTS: &[Flight] = flights! {
    "curl-h1" Http1 [79];
    "curl-h2c-prior" Http2 [106];
    "curl-h2c-upgrade" Http1 [172];
    "curl-tls" Tls [517];
    "envoy-upstream" Http2 [204];
    "grpc-go-1.33" Http2 [33, 124];
    "grpc-go-1.33.silent" Http2 [33];
    "grpcio-1.85" Http2 [82, 294];
    "grpcio-1.85.silent" Http2 [82];
    "h2load" Http2 [102];
    "httpx-h2" Http2 [82, 62];
    "nghttp" Http2 [165];
    "openssl-tls12" Tls [224];
    "openssl-tls13" Tls [252];
    "ssh" Ssh [40];
};

pub(crate) fn flight(name: &str) -> &'static Flight {
    FLIGHTS.iter().find(|flight| flight.name == name).expect("a recorded flight")
}

#[test]
fn the_table_is_complete() {
    for flight in FLIGHTS {
        let length: usize = flight.segments.iter().sum();
        assert_eq!(flight.bytes.len(), length, "segments of {}", flight.name);
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/flights");
    let mut recorded: Vec<String> = std::fs::read_dir(folder)
        .expect("the flights are in the repository")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("plain names"))
        .filter_map(|name| name.strip_suffix(".bin").map(str::to_owned))
        .collect();
    recorded.sort_unstable();
    let listed: Vec<&str> = FLIGHTS.iter().map(|flight| flight.name).collect();
    assert_eq!(recorded, listed, "every recording is in the table, in order");
}
