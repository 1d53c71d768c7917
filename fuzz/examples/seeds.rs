//! Writes the hand-made inputs and those from the recorded openings to `corpus/`: `cargo run --no-default-features --example seeds`.
//! What fuzzing has found is committed beside them and stays.

use std::fs;
use std::path::Path;

use oneport_core::wire::frame::{encode_frame, flag, Kind, PREFACE};
use oneport_core::wire::hpack::{encode_field, Encoder, Field};
use oneport_core::wire::settings::{encode_settings, encode_settings_ack, Setting, SettingId};
use oneport_fuzz::{MARK, TARGETS};

/// What follows a mark in a script of the machine: how long to wait (see `PAUSES`), and what happens then.
const EOF: u8 = 0x00;
const RESET: u8 = 0x01;
const SHUTDOWN: u8 = 0x02;
const EVICTION: u8 = 0x03;
const EARLY: u8 = 0x34;
const PATIENCE: u8 = 0x65;
const ONE_SECOND: u8 = 0x95;
const TEN_SECONDS: u8 = 0xd5;
const FOREVER: u8 = 0xf5;

fn main() -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut flights = Vec::new();
    for entry in fs::read_dir(here.join("../tests/flights"))? {
        let path = entry?.path();
        if let (Some("bin"), Some(stem)) = (path.extension().and_then(|e| e.to_str()), path.file_stem()) {
            flights.push((stem.to_string_lossy().into_owned(), fs::read(&path)?));
        }
    }
    flights.sort();
    for (target, _) in TARGETS {
        let folder = here.join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        let seeds = match *target {
            "machine" => machine(&flights),
            "client_ledger" => client_ledger(),
            "backend_ledger" => backend_ledger(),
            "hpack_decoder" => hpack_decoder(),
            "hpack_encoder" => hpack_encoder(),
            "http1" => http1(&flights),
            "client_hello" => client_hello(&flights),
            "split" => split(),
            other => panic!("no seeds for {other}"),
        };
        for (name, bytes) in seeds {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}

type Seeds = Vec<(String, Vec<u8>)>;

/// Something that follows in a stream.
fn then(stream: &mut Vec<u8>, action: u8) {
    stream.extend_from_slice(&MARK);
    stream.push(action);
}

fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(&mut out, kind, flags, stream, payload);
    out
}

fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let entries: Vec<Setting> =
        entries.iter().map(|&(id, value)| Setting { id: SettingId(id), value }).collect();
    let mut out = Vec::new();
    encode_settings(&mut out, &entries);
    out
}

fn ack() -> Vec<u8> {
    let mut out = Vec::new();
    encode_settings_ack(&mut out);
    out
}

fn block(content_type: &str, path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a.example:80"),
        ("content-type", content_type),
        ("te", "trailers"),
    ] {
        encode_field(&mut out, name.as_bytes(), value.as_bytes());
    }
    out
}

fn machine(flights: &[(String, Vec<u8>)]) -> Seeds {
    let mut seeds = Seeds::new();
    let mut put = |name: &str, choices: [u8; 3], script: &[u8]| {
        seeds.push((name.to_owned(), [&choices[..], script].concat()));
    };
    // Each opening with a table in which its protocol is asked for.
    for (name, bytes) in flights {
        let table = match name.as_str() {
            n if n.contains("tls") => 3,
            "curl-h1" => 4,
            "curl-h2c-upgrade" => 5,
            "ssh" => 2,
            _ => 0,
        };
        put(&format!("flight-{name}"), [table, 0, 0], bytes);
        put(&format!("flight-{name}-small"), [table, 1, 0], bytes);
    }
    let open = [&PREFACE[..], &settings(&[(2, 0), (4, 65_535)])].concat();
    let ping = frame(Kind::PING, 0, 0, b"oneport!");
    let grpc = frame(Kind::HEADERS, flag::END_HEADERS, 1, &block("application/grpc", "/pkg.Service/Method"));
    let plain = frame(Kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &block("text/plain", "/x"));
    let more = frame(Kind::DATA, 0, 1, &[&ack()[..], b"look-alike"].concat());

    let mut greeted = open.clone();
    then(&mut greeted, EARLY);
    then(&mut greeted, PATIENCE);
    put("greeted-then-left", [0, 0, 0], &[&greeted[..], &MARK, &[EOF]].concat());
    put("greeted-idle", [0, 0, 0], &[&greeted[..], &MARK, &[FOREVER]].concat());
    put("greeted-grpc", [0, 0, 0], &[&greeted[..], &ack(), &grpc, &more, &MARK, &[EOF]].concat());
    put("greeted-ack-late", [0, 0, 0], &[&greeted[..], &grpc, &more, &ack(), &ack()].concat());
    put(
        "greeted-ack-malformed",
        [0, 0, 0],
        &[&greeted[..], &frame(Kind::SETTINGS, flag::ACK, 1, &[]), &ack(), &grpc].concat(),
    );
    put("greeted-settings-again", [0, 0, 0], &[&greeted[..], &settings(&[]), &ack(), &grpc].concat());
    put("greeted-no-route", [9, 0, 0], &[&greeted[..], &ack(), &grpc].concat());
    put("greeted-backend-down", [0, 0, 1], &[&greeted[..], &ack(), &grpc, &more].concat());
    put("backend-down-plain", [1, 0, 1], &[&open[..], &plain].concat());
    put("backend-late-http1", [1, 0, 3], b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    put(
        "pings-before-and-after",
        [0, 0, 0],
        &[&open[..], &ping, &ping, &MARK, &[PATIENCE], &ping, &ack(), &grpc].concat(),
    );
    let mut calm = [&greeted[..], &ping.repeat(9)].concat();
    then(&mut calm, ONE_SECOND);
    put("pings-too-many", [0, 0, 0], &calm);
    put("pings-too-many-before", [0, 0, 0], &[&open[..], &ping.repeat(12), &MARK, &[PATIENCE]].concat());
    put(
        "pings-without-patience",
        [0, 2, 0],
        &[&open[..], &ping, &MARK, &[0x05], &ping, &ping, &ack(), &grpc].concat(),
    );
    put(
        "half-ack-when-greeted",
        [0, 0, 0],
        &[&open[..], &ack()[..5], &MARK, &[PATIENCE], &ack()[5..], &grpc].concat(),
    );
    put("early-ack", [0, 0, 0], &[&open[..], &ack(), &MARK, &[PATIENCE], &ack(), &grpc].concat());
    put("frozen-prefix", [8, 0, 0], &[&open[..], &ping, &MARK, &[PATIENCE], &ack(), &plain].concat());
    put(
        "frames-too-many",
        [0, 0, 0],
        &[&open[..], &frame(Kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(17), &grpc].concat(),
    );
    put("settings-too-many", [0, 0, 0], &[&open[..], &settings(&[]), &settings(&[]), &grpc].concat());
    put("settings-missing", [0, 0, 0], &[&PREFACE[..], &grpc].concat());
    put("settings-slow", [0, 0, 0], &[&PREFACE[..], &MARK, &[TEN_SECONDS]].concat());
    put("frame-too-long", [0, 1, 0], &[&open[..], &frame(Kind(0x42), 0, 0, &[0; 101])].concat());
    let health = block("application/grpc", "/grpc.health.v1.Health/Check");
    let (first, second) = health.split_at(9);
    let continued = [
        frame(
            Kind::HEADERS,
            flag::PADDED | flag::PRIORITY,
            1,
            &[&[3, 0, 0, 0, 0, 16][..], first, &[0; 3]].concat(),
        ),
        frame(Kind::CONTINUATION, 0, 1, &[]),
        frame(Kind::CONTINUATION, flag::END_HEADERS, 1, second),
    ]
    .concat();
    put("continued", [7, 0, 0], &[&open[..], &continued].concat());
    put(
        "continued-slowly",
        [7, 0, 0],
        &[&open[..], &continued[..30], &MARK, &[TEN_SECONDS], &continued[30..]].concat(),
    );
    put(
        "continued-empty",
        [0, 0, 0],
        &[&open[..], &frame(Kind::HEADERS, 0, 1, first), &frame(Kind::CONTINUATION, 0, 1, &[]).repeat(9)]
            .concat(),
    );
    put(
        "continued-by-ping",
        [0, 0, 0],
        &[&greeted[..], &frame(Kind::HEADERS, 0, 1, first), &ping, &ack()].concat(),
    );
    put(
        "hpack-malformed",
        [0, 0, 0],
        &[&open[..], &frame(Kind::HEADERS, flag::END_HEADERS, 1, &[0x3f])].concat(),
    );
    put("preface-cut", [7, 0, 0], &[&PREFACE[..20], &MARK, &[EOF]].concat());
    put("preface-wrong", [2, 0, 0], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r\0\0\0");
    put("http1-shortest", [2, 0, 0], b"GET / HTTP/1.0\r\n\r\n");
    put(
        "http1-too-long",
        [4, 1, 0],
        &[b"GET / HTTP/1.1\r\na: ".as_slice(), &[b'a'; 300], b"\r\nx-tenant: blue\r\n\r\n"].concat(),
    );
    put(
        "http1-slow",
        [4, 0, 0],
        &[b"GET /api/x HTTP/1.1\r\nho".as_slice(), &MARK, &[TEN_SECONDS], b"st: a\r\n\r\n"].concat(),
    );
    put("http1-late", [2, 0, 0], &[b"GE".as_slice(), &MARK, &[TEN_SECONDS]].concat());
    put(
        "http1-half-closed",
        [4, 0, 0],
        &[b"GET / HTTP/1.1\r\nuser-agent: curl/8".as_slice(), &MARK, &[EOF]].concat(),
    );
    put(
        "websocket",
        [5, 0, 0],
        b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    put("postgres", [6, 0, 0], &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]);
    put("socks5", [6, 0, 0], &[5, 1, 0]);
    put("server-first", [6, 0, 0], &[&MARK[..], &[ONE_SECOND], b"hello"].concat());
    put("probe", [0, 0, 0], &[&MARK[..], &[EOF]].concat());
    put("reset", [0, 0, 0], &[b"GET".as_slice(), &MARK, &[RESET]].concat());
    put("shutdown", [0, 0, 0], &[&greeted[..], &MARK, &[SHUTDOWN]].concat());
    put("eviction", [0, 0, 0], &[&open[..], &MARK, &[EVICTION]].concat());
    put("hello-too-long", [3, 1, 0], &[0x16, 3, 1, 0x40, 0, 1, 0xff, 0, 0, b' ', b't', b'o', b'o']);
    seeds
}

fn client_ledger() -> Seeds {
    let data = frame(Kind::DATA, 0, 1, &[&ack()[..], &[7; 20]].concat());
    let with_payload = frame(Kind::SETTINGS, flag::ACK, 0, &[0; 6]);
    let on_a_stream = frame(Kind::SETTINGS, flag::ACK, 3, &[]);
    let seed = |name: &str, owed: u8, stream: &[&[u8]]| {
        (name.to_owned(), [&[owed, 7][..], &stream.concat()].concat())
    };
    vec![
        seed("transparent", 0, &[&data, &ack()]),
        seed("one", 1, &[&data, &ack(), &ack(), &data]),
        seed("two", 2, &[&ack(), &data, &ack(), &ack()]),
        seed("look-alikes", 1, &[&with_payload, &on_a_stream, &data, &ack(), &data]),
        seed("cut-head", 1, &[&data, &ack()[..5]]),
        seed("cut-payload", 1, &[&data[..20]]),
        seed("long", 1, &[&[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1], &ack()]),
    ]
}

fn backend_ledger() -> Seeds {
    let headers = frame(Kind::HEADERS, flag::END_HEADERS, 1, &[0x88]);
    let seed = |name: &str, choices: [u8; 3], stream: &[&[u8]]| {
        (name.to_owned(), [&choices[..], &stream.concat()].concat())
    };
    let full: Vec<(u16, u32)> = (0..2_730).map(|i| (0x100 + i, 1)).collect();
    vec![
        seed("default", [0, 1, 1], &[&settings(&[(3, 250), (5, 16_384)]), &ack(), &headers]),
        seed("empty-settings", [0, 1, 1], &[&settings(&[]), &ack(), &headers]),
        seed(
            "x-net",
            [0, 1, 1],
            &[&settings(&[(5, 1 << 20), (3, 250), (6, 1 << 20), (8, 1), (9, 1)]), &ack(), &headers],
        ),
        seed("all-said", [2, 2, 1], &[&settings(&[(8, 0), (9, 0), (1, 9)]), &ack(), &headers, &ack()]),
        seed("ack-first", [0, 2, 1], &[&ack(), &settings(&[(3, 1)]), &ack(), &ack(), &headers]),
        seed("ack-late", [0, 1, 1], &[&settings(&[]), &headers, &headers, &ack(), &headers]),
        seed("settings-twice", [0, 1, 1], &[&settings(&[]), &settings(&[(9, 1)]), &ack()]),
        seed("not-http2", [0, 1, 1], &[b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
        seed("illegal-length", [0, 1, 1], &[&frame(Kind::SETTINGS, 0, 0, &[0; 7]), &ack(), &headers]),
        seed("illegal-stream", [0, 1, 1], &[&frame(Kind::SETTINGS, 0, 5, &[0; 6]), &ack(), &headers]),
        seed("too-long", [0, 1, 1], &[&[0, 0x40, 0x02, 4, 0, 0, 0, 0, 0, 1, 2, 3]]),
        seed("full", [0, 1, 1], &[&settings(&full), &ack(), &headers]),
        seed("cut", [0, 1, 1], &[&settings(&[(3, 250)])[..12]]),
        seed("reserved-bit", [0, 1, 1], &[&[0, 0, 0, 4, 0, 0x80, 0, 0, 0], &headers]),
        seed("transparent", [3, 0, 1], &[&settings(&[(9, 1)]), &ack()]),
    ]
}

fn hpack_decoder() -> Seeds {
    let seed =
        |name: &str, choices: [u8; 2], blocks: &[u8]| (name.to_owned(), [&choices[..], blocks].concat());
    let mut history = Vec::new();
    let mut encoder = Encoder::new();
    for path in ["/a", "/b", "/a"] {
        let fields = [
            (":method", "POST", false),
            (":path", path, false),
            ("authorization", "secret", true),
            ("user-agent", "seeds of oneport", false),
        ]
        .map(|(name, value, never_indexed)| Field {
            name: name.as_bytes(),
            value: value.as_bytes(),
            never_indexed,
        });
        encoder.encode(fields, &mut history);
        then(&mut history, 0);
    }
    // RFC 7541 appendix C.4: requests with Huffman coding.
    let appendix: &[u8] = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff\xfa\xce\0\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
    vec![
        seed("history", [0, 0], &history),
        seed("history-small-table", [2, 0], &history),
        seed("history-small-list", [0, 1], &history),
        seed("appendix-c4", [0, 0], appendix),
        seed("size-updates", [0, 0], b"\x20\x3f\xe1\x1f\x82\xfa\xce\x81\x20\x82\xfa\xce\x84\x20\x3f\x9f\x01"),
        seed("size-updates-three", [0, 0], b"\x20\x20\x20\x82"),
        seed("size-update-behind", [0, 0], b"\x82\x20"),
        seed("lone-byte", [0, 0], b"\x3f"),
        seed("integer-too-long", [0, 0], b"\xff\x80\x80\x80\x80\x80\x80\x01"),
        seed("integer-largest", [0, 0], b"\x7f\xff\xff\xff\xff\x0f"),
        seed("index-zero", [0, 0], b"\x80"),
        seed("eos", [0, 0], b"\x00\x84\xff\xff\xff\xff\x00"),
        seed("padding-long", [0, 0], b"\x00\x82\x1f\xff\x00"),
        seed(
            "eviction",
            [2, 0],
            &[&b"\x40\x01a\x1e"[..], &[b'x'; 30], b"\x40\x01b\x1e", &[b'y'; 30], b"\xbe\xbf"].concat(),
        ),
        seed("bomb", [4, 0], &[&b"\x40\x01a\x7f\xe1\x1d"[..], &[b'x'; 3_936], &[0xbe; 40]].concat()),
    ]
}

fn hpack_encoder() -> Seeds {
    let seed = |name: &str, script: &[u8]| (name.to_owned(), script.to_vec());
    vec![
        seed("one-block", b":method=GET\xfa\xce\0:path=/\xfa\xce\0cookie=a=b\xfa\xce\x01x=y\xfa\xce\x02"),
        seed("twice", b"a=b\xfa\xce\x02a=b\xfa\xce\x02a=c\xfa\xce\x02a=b\xfa\xce\x02"),
        seed("shrink-and-grow", b"a=b\xfa\xce\x02x=y\xfa\xce\x0ea=b\xfa\xce\x04\xfa\xce\x16a=b\xfa\xce\x02"),
        seed(
            "large-table",
            b"a=b\xfa\xce\x26long-name=long value\xfa\xce\x02long-name=long value\xfa\xce\x02",
        ),
        seed("empty", b"\xfa\xce\x02\xfa\xce\x03=\xfa\xce\x02"),
        seed("not-text", b"\x80\xff=\0\x01\xfe\xfa\xce\x02\x80\xff=\0\x01\xfe"),
    ]
}

fn http1(flights: &[(String, Vec<u8>)]) -> Seeds {
    let seed = |name: &str, choices: [u8; 2], bytes: &[u8]| (name.to_owned(), [&choices[..], bytes].concat());
    let mut seeds = vec![
        seed("shortest", [0, 1], b"GET / HTTP/1.0\r\n\r\n"),
        seed(
            "shortest-limited",
            [2, 1],
            b"GET / HTTP/1.0\r\nhost: far too long for the limit of this one\r\n\r\n",
        ),
        seed("no-room", [1, 1], b"GET"),
        seed("bare-lf", [0, 1], b"\nPOST /x?y HTTP/1.1\nhost:a\nx: \t y \t\n\nbody"),
        seed("empty-line", [0, 1], b"\r\nGET * HTTP/1.1\r\n\r\n"),
        seed("absolute", [0, 1], b"GET http://user@a.example:80/p?q HTTP/1.1\r\n\r\n"),
        seed("ipv6", [0, 1], b"GET http://[::1]:80 HTTP/1.1\r\nhost: [::1]:80\r\n\r\n"),
        seed("connect", [0, 1], b"CONNECT a.example.:443 HTTP/1.1\r\n\r\n"),
        seed("folded", [0, 1], b"GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n"),
        seed("nul", [0, 1], b"GET / HTTP/1.1\r\na: \0\r\n\r\n"),
        seed("space-before-colon", [0, 1], b"GET / HTTP/1.1\r\na : b\r\n\r\n"),
        seed("preface", [0, 1], PREFACE),
        seed("method-too-long", [0, 1], b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ / HTTP/1.1\r\n\r\n"),
        seed("not-utf8", [3, 9], b"GET /\xe4\xff HTTP/1.1\r\nx: \xff\r\n\r\n"),
    ];
    for (name, bytes) in flights.iter().filter(|(name, _)| name.starts_with("curl-h")) {
        seeds.push(seed(&format!("flight-{name}"), [0, 3], bytes));
    }
    seeds
}

fn client_hello(flights: &[(String, Vec<u8>)]) -> Seeds {
    let seed = |name: &str, choices: [u8; 2], bytes: &[u8]| (name.to_owned(), [&choices[..], bytes].concat());
    let mut seeds = vec![
        seed("cut", [0, 1], &[22, 3, 1, 2]),
        seed("empty-record", [0, 1], &[22, 3, 1, 0, 0]),
        seed("alert", [0, 1], &[21, 3, 1, 0, 2, 1, 0]),
        seed("server-hello", [0, 1], &[22, 3, 1, 0, 4, 2, 0, 0, 0]),
        seed("length-too-long", [3, 1], &[22, 3, 1, 0x40, 0, 1, 0xff, 0, 0, 0]),
        seed("no-room", [1, 1], &[22]),
    ];
    for (name, bytes) in flights.iter().filter(|(name, _)| name.contains("tls")) {
        seeds.push(seed(&format!("flight-{name}"), [0, 3], bytes));
        seeds.push(seed(&format!("flight-{name}-limited"), [3, 3], bytes));
        // The message again, in records of 100 and of 1 byte.
        for size in [100, 1] {
            let records: Vec<u8> = bytes[5..]
                .chunks(size)
                .flat_map(|fragment| [&[22, 3, 1, 0, fragment.len() as u8], fragment].concat())
                .collect();
            seeds.push(seed(&format!("flight-{name}-records-{size}"), [0, 3], &records));
        }
    }
    seeds
}

/// Per-request routing: requests, responses, and what goes wrong between them. A mark's byte says who speaks next.
fn split() -> Seeds {
    const CLIENT: u8 = 0;
    const FIRST: u8 = 1;
    const SECOND: u8 = 2;
    const END_OF_FIRST: u8 = 0xc1;
    const RESET_OF_FIRST: u8 = 0xd1;
    const LATER: u8 = 0xec;
    const SHUTDOWN: u8 = 0xf0;
    const GET: &[u8] = b"\x82\x86\x84\x41\x01a";
    const POST_A: &[u8] = b"\x83\x86\x44\x02/a\x41\x01a";
    const CLOSED: &[u8] = b"\x82\x86\x44\x07/closed\x41\x01a";
    const NOWHERE: &[u8] = b"\x82\x86\x44\x05/none\x41\x01a";
    const GRPC: &[u8] = b"\x83\x86\x84\x41\x01a\x5f\x10application/grpc\x40\x02te\x08trailers";
    const OK: &[u8] = b"\x88";
    let end = flag::END_HEADERS | flag::END_STREAM;
    let frame = |kind, flags, stream, payload: &[u8]| {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, kind, flags, stream, payload);
        bytes
    };
    let head = |flags, stream, block| frame(Kind::HEADERS, flags, stream, block);
    let script = |parts: &[(u8, Vec<u8>)]| {
        let mut bytes = vec![0, 0];
        for (mark, part) in parts {
            then(&mut bytes, *mark);
            bytes.extend_from_slice(part);
        }
        bytes
    };
    let data = |flags, stream, payload: &[u8]| frame(Kind::DATA, flags, stream, payload);
    let goaway = |last: u32| frame(Kind::GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
    let settings = |id: u16, value: u32| {
        let mut bytes = Vec::new();
        encode_settings(&mut bytes, &[Setting { id: SettingId(id), value }]);
        bytes
    };
    let seeds = [
        (
            "get",
            script(&[(CLIENT, head(end, 1, GET)), (FIRST, [head(4, 1, OK), data(1, 1, b"hello")].concat())]),
        ),
        (
            "two-backends",
            script(&[
                (CLIENT, [head(end, 1, GET), head(end, 3, GRPC)].concat()),
                (FIRST, head(end, 1, OK)),
                (SECOND, [head(4, 3, OK), head(end, 3, b"\x40\x0bgrpc-status\x010")].concat()),
            ]),
        ),
        (
            "upload",
            script(&[
                (CLIENT, [head(4, 1, POST_A), data(0, 1, &[7; 300]), data(1, 1, b"end")].concat()),
                (FIRST, [frame(Kind::WINDOW_UPDATE, 0, 1, &[0, 0, 1, 0]), head(end, 1, OK)].concat()),
            ]),
        ),
        (
            "trailers",
            script(&[(
                CLIENT,
                [head(4, 1, POST_A), data(0, 1, b"x"), head(end, 1, b"\x40\x01x\x01y")].concat(),
            )]),
        ),
        (
            "refusals",
            script(&[(CLIENT, [head(end, 1, CLOSED), head(end, 3, NOWHERE), head(end, 5, GRPC)].concat())]),
        ),
        (
            "goaway",
            script(&[
                (CLIENT, [head(end, 1, GET), head(end, 3, GET)].concat()),
                (FIRST, goaway(1)),
                (SECOND, head(end, 3, OK)),
            ]),
        ),
        (
            "backend-ends",
            script(&[(CLIENT, head(end, 1, GET)), (END_OF_FIRST, Vec::new()), (CLIENT, head(end, 3, GET))]),
        ),
        (
            "backend-resets",
            script(&[(CLIENT, head(end, 1, GET)), (FIRST, head(4, 1, OK)), (RESET_OF_FIRST, Vec::new())]),
        ),
        (
            "backend-speaks-http1",
            script(&[(CLIENT, head(end, 1, GET)), (FIRST, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())]),
        ),
        (
            "drain",
            script(&[
                (CLIENT, head(end, 1, GET)),
                (SHUTDOWN, Vec::new()),
                (FIRST, head(end, 1, OK)),
                (LATER, Vec::new()),
            ]),
        ),
        ("late", script(&[(CLIENT, head(end, 1, GET)), (LATER, Vec::new()), (LATER, Vec::new())])),
        (
            "table-sizes",
            script(&[
                (CLIENT, [settings(1, 0), head(end, 1, GET)].concat()),
                (FIRST, [settings(1, 0), settings(1, 100), head(end, 1, OK)].concat()),
                (CLIENT, head(end, 3, GET)),
            ]),
        ),
        (
            "windows",
            script(&[
                (CLIENT, [settings(4, 5), head(end, 1, GET)].concat()),
                (FIRST, [head(4, 1, OK), data(1, 1, b"hello world")].concat()),
                (CLIENT, settings(4, 0)),
                (CLIENT, settings(4, 100)),
            ]),
        ),
        (
            "resets",
            script(&[(
                CLIENT,
                (0..20)
                    .flat_map(|n| {
                        [head(end, 2 * n + 1, GET), frame(Kind::RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])]
                            .concat()
                    })
                    .collect(),
            )]),
        ),
        (
            "split-block",
            script(&[(
                CLIENT,
                [
                    head(flag::END_STREAM, 1, &GET[..2]),
                    frame(Kind::CONTINUATION, flag::END_HEADERS, 1, &GET[2..]),
                ]
                .concat(),
            )]),
        ),
        (
            "smuggling",
            script(&[(
                CLIENT,
                [head(4, 1, b"\x83\x86\x84\x41\x01a\x5c\x015"), data(1, 1, b"123456")].concat(),
            )]),
        ),
    ];
    seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}
