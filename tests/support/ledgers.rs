//! What the ledgers must let through, worked out from whole streams.

use oneport_core::wire::settings::SettingId;
use oneport_core::Greeting;

use super::http2::frames;

/// The stream without its first well-formed SETTINGS ACK that ends behind `after`, and whether there was one. Frames begin at
/// `start`.
pub(crate) fn without_first_ack(stream: &[u8], start: usize, after: usize) -> (Vec<u8>, bool) {
    let mut at = start;
    for frame in frames(&stream[start..]).0 {
        let end = at + frame.bytes.len();
        if frame.is_settings_ack() && end > after {
            return ([&stream[..at], &stream[end..]].concat(), true);
        }
        at = end;
    }
    (stream.to_vec(), false)
}

/// What a client receives that was greeted.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Return {
    pub(crate) bytes: Vec<u8>,
    /// ACKs still to be dropped; none for a backend that does not speak HTTP/2.
    pub(crate) owed: u32,
    /// Whether the first SETTINGS may still come.
    pub(crate) awaits_first: bool,
}

/// What a client that was greeted, and whose SETTINGS were acknowledged `acks` times, receives of this stream of its backend.
pub(crate) fn return_of(greeting: &Greeting, acks: u32, stream: &[u8]) -> Return {
    let is_legal = |kind: u8, flags: u8, stream: u32, length: usize| {
        kind == 4 && flags & 1 == 0 && stream == 0 && length % 6 == 0 && length <= 16_384
    };
    let (frames, rest) = frames(stream);
    let mut bytes = Vec::new();
    let mut owed = acks;
    let mut awaits_first = true;
    let mut at = 0;
    for frame in frames {
        at += frame.bytes.len();
        if frame.is_settings_ack() && owed > 0 {
            owed -= 1;
            continue;
        }
        if awaits_first && frame.kind != 4 {
            // No HTTP/2: all of it goes through.
            bytes.extend_from_slice(frame.bytes);
            bytes.extend_from_slice(&stream[at..]);
            return Return { bytes, owed: 0, awaits_first: false };
        }
        let is_legal = is_legal(frame.kind, frame.flags, frame.stream, frame.payload.len());
        if core::mem::take(&mut awaits_first) && is_legal {
            bytes.extend_from_slice(&reconciled(greeting, frame.bytes, &frame.settings()));
        } else {
            bytes.extend_from_slice(frame.bytes);
        }
    }
    // Half a frame at the end, whose head may say already that these are no first SETTINGS.
    if let (true, Some(head)) = (awaits_first, rest.first_chunk::<9>()) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        awaits_first = is_legal(head[3], head[4], stream, length);
        if head[3] != 4 {
            owed = 0;
        }
    }
    bytes.extend_from_slice(rest);
    Return { bytes, owed, awaits_first }
}

/// The rules for the first SETTINGS of a backend behind a mux that has spoken.
fn reconciled(greeting: &Greeting, frame: &[u8], entries: &[(u16, u32)]) -> Vec<u8> {
    let promised_connect = greeting.value_of(SettingId::ENABLE_CONNECT_PROTOCOL) == Some(1);
    let mut adapted: Vec<(u16, u32)> = entries
        .iter()
        .copied()
        .filter(|&(id, value)| id != 9 && !(id == 8 && value == 0 && promised_connect))
        .collect();
    for said in greeting.entries() {
        let default = match said.id.0 {
            1 => 4_096,
            3 => 0x7fff_ffff,
            4 => 65_535,
            5 => 16_384,
            6 => u32::MAX,
            _ => continue,
        };
        if !entries.iter().any(|(id, _)| *id == said.id.0) {
            adapted.push((said.id.0, default));
        }
    }
    let payload: Vec<u8> = adapted
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    // Flags and the reserved bit stay as they were.
    [&(payload.len() as u32).to_be_bytes()[1..], &frame[3..9], &payload].concat()
}
