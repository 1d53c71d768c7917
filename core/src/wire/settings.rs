//! The payload of SETTINGS (RFC 9113 §6.5): a list of identifier and value, in order, duplicates and unknown ones kept.

use super::frame::{encode_frame, flag, Head, Kind, HEAD_LEN};

/// The length of one entry in bytes.
pub const ENTRY_LEN: usize = 6;

/// What a setting is about. A newtype and not an enum: unknown identifiers must be passed on as they came.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SettingId(pub u16);

impl SettingId {
    /// SETTINGS_HEADER_TABLE_SIZE (RFC 9113 §6.5.2).
    pub const HEADER_TABLE_SIZE: Self = Self(0x1);
    /// SETTINGS_ENABLE_PUSH (RFC 9113 §6.5.2).
    pub const ENABLE_PUSH: Self = Self(0x2);
    /// SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 §6.5.2).
    pub const MAX_CONCURRENT_STREAMS: Self = Self(0x3);
    /// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2).
    pub const INITIAL_WINDOW_SIZE: Self = Self(0x4);
    /// SETTINGS_MAX_FRAME_SIZE (RFC 9113 §6.5.2).
    pub const MAX_FRAME_SIZE: Self = Self(0x5);
    /// SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 §6.5.2).
    pub const MAX_HEADER_LIST_SIZE: Self = Self(0x6);
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 §3).
    pub const ENABLE_CONNECT_PROTOCOL: Self = Self(0x8);
    /// SETTINGS_NO_RFC7540_PRIORITIES (RFC 9218 §2.1).
    pub const NO_RFC7540_PRIORITIES: Self = Self(0x9);
}

/// One entry of a SETTINGS frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Setting {
    /// What it is about.
    pub id: SettingId,
    /// Its value; the unit depends on the identifier.
    pub value: u32,
}

impl Setting {
    /// The six bytes of this entry.
    pub const fn encode(self) -> [u8; ENTRY_LEN] {
        let [i0, i1] = self.id.0.to_be_bytes();
        let [v0, v1, v2, v3] = self.value.to_be_bytes();
        [i0, i1, v0, v1, v2, v3]
    }
}

/// The entries of a payload, in order. A rest of less than six bytes is left out: whether the length is legal
/// is the caller's question (RFC 9113 §6.5: else FRAME_SIZE_ERROR).
pub fn entries(payload: &[u8]) -> impl Iterator<Item = Setting> + '_ {
    payload.chunks_exact(ENTRY_LEN).map(|e| Setting {
        id: SettingId(u16::from_be_bytes([e[0], e[1]])),
        value: u32::from_be_bytes([e[2], e[3], e[4], e[5]]),
    })
}

/// Appends a SETTINGS frame with these entries, of which a frame has room for 2,796,202 (more are cut, never emitted wrong).
pub fn encode_settings(out: &mut Vec<u8>, settings: &[Setting]) {
    let settings = &settings[..settings.len().min(0x00ff_ffff / ENTRY_LEN)];
    let length = settings.len() * ENTRY_LEN;
    out.reserve(HEAD_LEN + length);
    out.extend_from_slice(&Head::new(length as u32, Kind::SETTINGS, 0, 0).encode());
    for setting in settings {
        out.extend_from_slice(&setting.encode());
    }
}

/// Appends an acknowledgement of one SETTINGS.
pub fn encode_settings_ack(out: &mut Vec<u8>) {
    encode_frame(out, Kind::SETTINGS, flag::ACK, 0, &[]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_repeated_entries_survive_in_order() {
        let payload = [0, 9, 0, 0, 0, 1, 0xfe, 3, 0, 0, 0, 1, 0, 9, 0xff, 0xff, 0xff, 0xff];
        let again: Vec<u8> = entries(&payload).flat_map(Setting::encode).collect();
        assert_eq!(again, payload);
    }
}
