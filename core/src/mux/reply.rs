//! The few things that the mux may say to a client.

use super::{Greeting, Refusal};
use crate::wire::frame::{encode_frame, flag, Kind};
use crate::wire::settings::{encode_settings, encode_settings_ack};

/// Something to write to the client before anything else is read from it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// The mux's SETTINGS, then an acknowledgement for each SETTINGS that the client has sent. Once per connection at most.
    Greeting {
        /// What the mux says of itself.
        settings: Greeting,
        /// The number of acknowledgements.
        acks: u32,
    },
    /// The answer to a PING (RFC 9113 §6.7), with its opaque data.
    PingAck([u8; 8]),
    /// The last words to a client that gets no backend.
    Refusal(Refusal),
    /// The acknowledgement of SETTINGS that came after the greeting.
    SettingsAck,
}

impl Reply {
    /// Appends the bytes to write.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Greeting { settings, acks } => {
                encode_settings(out, settings.entries());
                for _ in 0..*acks {
                    encode_settings_ack(out);
                }
            }
            Self::PingAck(opaque) => encode_frame(out, Kind::PING, flag::ACK, 0, opaque),
            Self::Refusal(refusal) => refusal.encode(out),
            Self::SettingsAck => encode_settings_ack(out),
        }
    }
}
