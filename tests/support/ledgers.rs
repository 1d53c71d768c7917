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

/// What a client that was greeted, and whose SETTINGS were acknowledged `acks` times, receives of this stream of its backend;
/// and how many acknowledgements are still owed (0 for a backend that does not speak HTTP/2).
pub(crate) fn return_of(greeting: &Greeting, acks: u32, stream: &[u8]) -> (Vec<u8>, u32) {
    let (frames, rest) = frames(stream);
    let mut out = Vec::new();
    let mut owed = acks;
    let mut is_first = true;
    let mut at = 0;
    for frame in frames {
        at += frame.bytes.len();
        if frame.is_settings_ack() && owed > 0 {
            owed -= 1;
            continue;
        }
        if is_first && frame.kind != 4 {
            // No HTTP/2: all of it goes through.
            return ([&out[..], frame.bytes, &stream[at..]].concat(), 0);
        }
        let is_legal = frame.is_settings()
            && frame.stream == 0
            && frame.payload.len() % 6 == 0
            && frame.payload.len() <= 16_384;
        if core::mem::take(&mut is_first) && is_legal {
            out.extend_from_slice(&reconciled(greeting, frame.bytes, &frame.settings()));
        } else {
            out.extend_from_slice(frame.bytes);
        }
    }
    // Half a frame at the end. Its head may already say that this is no HTTP/2.
    if is_first && rest.len() >= 9 && rest[3] != 4 {
        owed = 0;
    }
    out.extend_from_slice(rest);
    (out, owed)
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
