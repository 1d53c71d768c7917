//! The 9-byte head of an HTTP/2 frame (RFC 9113 §4.1), lossless: what was decoded encodes to the same bytes.

/// What a client sends before its first frame (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame head in bytes.
pub const HEAD_LEN: usize = 9;

/// The largest payload a peer may send before it was told otherwise (RFC 9113 §6.5.2, SETTINGS_MAX_FRAME_SIZE).
pub const DEFAULT_MAX_FRAME_SIZE: u32 = 16_384;

/// The type of a frame. A newtype and not an enum: unknown types must be passed on as they came.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Kind(pub u8);

impl Kind {
    /// RFC 9113 §6.1.
    pub const DATA: Self = Self(0x0);
    /// RFC 9113 §6.2.
    pub const HEADERS: Self = Self(0x1);
    /// RFC 9113 §6.3 (deprecated, still sent).
    pub const PRIORITY: Self = Self(0x2);
    /// RFC 9113 §6.4.
    pub const RST_STREAM: Self = Self(0x3);
    /// RFC 9113 §6.5.
    pub const SETTINGS: Self = Self(0x4);
    /// RFC 9113 §6.6.
    pub const PUSH_PROMISE: Self = Self(0x5);
    /// RFC 9113 §6.7.
    pub const PING: Self = Self(0x6);
    /// RFC 9113 §6.8.
    pub const GOAWAY: Self = Self(0x7);
    /// RFC 9113 §6.9.
    pub const WINDOW_UPDATE: Self = Self(0x8);
    /// RFC 9113 §6.10.
    pub const CONTINUATION: Self = Self(0x9);
    /// PRIORITY_UPDATE (RFC 9218 §7.1).
    pub const PRIORITY_UPDATE: Self = Self(0x10);
}

/// Bits of a head's flags octet. Their meaning depends on the frame's [`Kind`].
pub mod flag {
    /// SETTINGS and PING: the frame acknowledges one of the peer's.
    pub const ACK: u8 = 0x1;
    /// DATA and HEADERS: the sender's last frame on the stream.
    pub const END_STREAM: u8 = 0x1;
    /// HEADERS, PUSH_PROMISE and CONTINUATION: the header block ends here.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS and PUSH_PROMISE: a length octet and that much padding.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: five octets of (deprecated) priority come first.
    pub const PRIORITY: u8 = 0x20;
}

/// The head of a frame (RFC 9113 §4.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// Bytes of payload that follow; less than 2²⁴.
    pub length: u32,
    /// What the frame is.
    pub kind: Kind,
    /// Raw flags; undefined bits are kept.
    pub flags: u8,
    /// The stream, 31 bits; 0 is the connection.
    pub stream: u32,
    /// The reserved bit in front of the stream identifier: no meaning, but passed on.
    pub reserved: bool,
}

impl Head {
    /// A head with the reserved bit clear. `length` is cut to 24 bits, `stream` to 31.
    pub const fn new(length: u32, kind: Kind, flags: u8, stream: u32) -> Self {
        Self { length: length & 0x00ff_ffff, kind, flags, stream: stream & 0x7fff_ffff, reserved: false }
    }

    /// The head that these nine bytes are: every nine bytes are one.
    pub const fn decode(b: &[u8; HEAD_LEN]) -> Self {
        Self {
            length: u32::from_be_bytes([0, b[0], b[1], b[2]]),
            kind: Kind(b[3]),
            flags: b[4],
            stream: u32::from_be_bytes([b[5] & 0x7f, b[6], b[7], b[8]]),
            reserved: b[5] & 0x80 != 0,
        }
    }

    /// The head at the start of `bytes`, or `None` if fewer than nine are there.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk::<HEAD_LEN>().map(Self::decode)
    }

    /// The nine bytes of this head.
    pub const fn encode(&self) -> [u8; HEAD_LEN] {
        let [_, l0, l1, l2] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        let reserved = if self.reserved { 0x80 } else { 0 };
        [l0, l1, l2, self.kind.0, self.flags, (s0 & 0x7f) | reserved, s1, s2, s3]
    }

    /// Whether `flag` is set.
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether this is a well-formed acknowledgement of SETTINGS: on stream 0, without payload (RFC 9113 §6.5).
    /// Undefined flags beside ACK and the reserved bit do not matter (§4.1).
    pub fn is_settings_ack(&self) -> bool {
        self.kind == Kind::SETTINGS && self.has(flag::ACK) && self.length == 0 && self.stream == 0
    }

    /// The whole frame in bytes: head and payload.
    pub const fn frame_len(&self) -> usize {
        HEAD_LEN + self.length as usize
    }
}

/// An error code of RST_STREAM or GOAWAY (RFC 9113 §7). A newtype and not an enum: every number is one. Those that a mux has a use
/// for have names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Nothing went wrong.
    pub const NO_ERROR: Self = Self(0x0);
    /// The peer broke the protocol in a way no other code names.
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    /// The peer can not go on for a reason of its own.
    pub const INTERNAL_ERROR: Self = Self(0x2);
    /// More DATA than the window allowed, or a window beyond 2³¹−1.
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    /// A frame came for a stream that its sender had ended.
    pub const STREAM_CLOSED: Self = Self(0x5);
    /// A frame had a size that it must not have.
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    /// The stream was not processed and may be retried.
    pub const REFUSED_STREAM: Self = Self(0x7);
    /// The stream is no longer wanted.
    pub const CANCEL: Self = Self(0x8);
    /// The header compression state is lost.
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    /// The peer loads us more than we accept.
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
}

/// The name of RFC 9113 §7, or the number.
impl core::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = match *self {
            Self::NO_ERROR => "NO_ERROR",
            Self::PROTOCOL_ERROR => "PROTOCOL_ERROR",
            Self::INTERNAL_ERROR => "INTERNAL_ERROR",
            Self::FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
            Self::STREAM_CLOSED => "STREAM_CLOSED",
            Self::FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR",
            Self::REFUSED_STREAM => "REFUSED_STREAM",
            Self::CANCEL => "CANCEL",
            Self::COMPRESSION_ERROR => "COMPRESSION_ERROR",
            Self::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
            Self(code) => return write!(f, "{code:#x}"),
        };
        f.write_str(name)
    }
}

/// Appends a whole frame; `payload` must be shorter than 2²⁴ bytes (longer is cut, never emitted wrong).
pub fn encode_frame(out: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32, payload: &[u8]) {
    let payload = &payload[..payload.len().min(0x00ff_ffff)];
    out.extend_from_slice(&Head::new(payload.len() as u32, kind, flags, stream).encode());
    out.extend_from_slice(payload);
}

/// Appends a GOAWAY (RFC 9113 §6.8) without debug data.
pub fn encode_goaway(out: &mut Vec<u8>, last_stream: u32, code: ErrorCode) {
    let mut payload = [0; 8];
    payload[..4].copy_from_slice(&(last_stream & 0x7fff_ffff).to_be_bytes());
    payload[4..].copy_from_slice(&code.0.to_be_bytes());
    encode_frame(out, Kind::GOAWAY, 0, 0, &payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nine_bytes_survive() {
        for bytes in [[0; 9], [0xff; 9], [0, 1, 2, 3, 4, 0x85, 6, 7, 8]] {
            assert_eq!(Head::decode(&bytes).encode(), bytes);
        }
    }

    #[test]
    fn an_ack_with_payload_or_stream_is_none() {
        let ack = Head::new(0, Kind::SETTINGS, flag::ACK, 0);
        assert!(ack.is_settings_ack());
        assert!(Head { flags: 0xff, reserved: true, ..ack }.is_settings_ack());
        assert!(!Head { length: 6, ..ack }.is_settings_ack());
        assert!(!Head { stream: 1, ..ack }.is_settings_ack());
        assert!(!Head { flags: 0xfe, ..ack }.is_settings_ack());
        assert!(!Head { kind: Kind::PING, ..ack }.is_settings_ack());
    }

    #[test]
    fn codes_have_the_names_of_the_rfc() {
        assert_eq!(ErrorCode::ENHANCE_YOUR_CALM.to_string(), "ENHANCE_YOUR_CALM");
        assert_eq!(ErrorCode(0xff).to_string(), "0xff");
    }
}
