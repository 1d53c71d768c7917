//! What the mux says of itself to a client that waits: as little as possible, and never more than any backend promises.

use std::sync::Arc;

use crate::wire::settings::{Setting, SettingId};

/// The SETTINGS that the mux sends to a waiting HTTP/2 client; `docs/handshake.md` of the repository calls them S₀.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Greeting(Arc<[Setting]>);

/// The default of [`Greeting`]'s SETTINGS_MAX_CONCURRENT_STREAMS: what most servers allow at
/// least (nghttp2 and HAProxy 100, nginx 128, hyper 200, x/net 250), so that the burst of a client that was told nothing else
/// stays below the backend's limit.
pub const DEFAULT_MAX_CONCURRENT_STREAMS: u32 = 100;

/// Why SETTINGS can not be a greeting.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GreetingError {
    /// The setting is not one that the mux can take back.
    #[error("setting {0:#x} can not be in a greeting: only 0x1, 0x3, 0x4, 0x5, 0x6, 0x8 and 0x9 can")]
    Identifier(u16),
    /// The setting is there twice.
    #[error("setting {0:#x} stands in the greeting twice")]
    Repeated(u16),
    /// It is no value of this setting (RFC 9113 §6.5.2), or promises more than a backend that says nothing: the client would
    /// rely on it before the backend can take it back.
    #[error("setting {id:#x} of a greeting must be between {least} and {most}, not {value}")]
    Value {
        /// The setting.
        id: u16,
        /// Its value.
        value: u32,
        /// The least value that it may have.
        least: u32,
        /// The largest value that it may have.
        most: u32,
    },
}

impl Default for Greeting {
    fn default() -> Self {
        Self(Arc::new([Setting {
            id: SettingId::MAX_CONCURRENT_STREAMS,
            value: DEFAULT_MAX_CONCURRENT_STREAMS,
        }]))
    }
}

impl Greeting {
    /// A greeting of these settings, in this order; of none, an empty SETTINGS frame.
    ///
    /// | setting | values |
    /// |---|---|
    /// | 0x1 HEADER_TABLE_SIZE | 0 to 4,096 |
    /// | 0x3 MAX_CONCURRENT_STREAMS | any |
    /// | 0x4 INITIAL_WINDOW_SIZE | 0 to 65,535 |
    /// | 0x5 MAX_FRAME_SIZE | 16,384 |
    /// | 0x6 MAX_HEADER_LIST_SIZE | any |
    /// | 0x8 ENABLE_CONNECT_PROTOCOL (RFC 8441) | 0, 1 |
    /// | 0x9 NO_RFC7540_PRIORITIES (RFC 9218) | 0, 1 |
    ///
    /// The bounds are the defaults of the protocol: what a backend promises that sends empty SETTINGS. 0x8 = 1 is right only if
    /// every HTTP/2 backend supports extended CONNECT.
    ///
    /// These settings take the place of the [default](Self::default) ones, so repeat MAX_CONCURRENT_STREAMS if it is to stay.
    ///
    /// # Errors
    /// A value outside of its bounds, a setting that the mux could not take back (any other one), or the same one twice.
    pub fn new(settings: impl IntoIterator<Item = Setting>) -> Result<Self, GreetingError> {
        let settings: Arc<[Setting]> = settings.into_iter().collect();
        for (i, setting) in settings.iter().enumerate() {
            let id = setting.id.0;
            let (least, most) = match setting.id {
                SettingId::HEADER_TABLE_SIZE => (0, 4_096),
                SettingId::MAX_CONCURRENT_STREAMS | SettingId::MAX_HEADER_LIST_SIZE => (0, u32::MAX),
                SettingId::INITIAL_WINDOW_SIZE => (0, 65_535),
                SettingId::MAX_FRAME_SIZE => (16_384, 16_384),
                SettingId::ENABLE_CONNECT_PROTOCOL | SettingId::NO_RFC7540_PRIORITIES => (0, 1),
                _ => return Err(GreetingError::Identifier(id)),
            };
            if !(least..=most).contains(&setting.value) {
                return Err(GreetingError::Value { id, value: setting.value, least, most });
            }
            if settings[..i].iter().any(|earlier| earlier.id == setting.id) {
                return Err(GreetingError::Repeated(id));
            }
        }
        Ok(Self(settings))
    }

    /// The settings in the order in which they are sent.
    pub fn entries(&self) -> &[Setting] {
        &self.0
    }

    /// The value that the greeting gives this setting.
    pub fn value_of(&self, id: SettingId) -> Option<u32> {
        self.0.iter().find(|setting| setting.id == id).map(|setting| setting.value)
    }

    /// What a setting is for a peer that was not told (RFC 9113 §6.5.2); `None` for those that are not taken back.
    pub(crate) const fn default_of(id: SettingId) -> Option<u32> {
        match id {
            SettingId::HEADER_TABLE_SIZE => Some(4_096),
            // "Initially there is no limit": the largest number of streams that a connection can have.
            SettingId::MAX_CONCURRENT_STREAMS => Some(0x7fff_ffff),
            SettingId::INITIAL_WINDOW_SIZE => Some(65_535),
            SettingId::MAX_FRAME_SIZE => Some(16_384),
            SettingId::MAX_HEADER_LIST_SIZE => Some(u32::MAX),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(id: SettingId, value: u32) -> Result<Greeting, GreetingError> {
        Greeting::new([Setting { id, value }])
    }

    #[test]
    fn more_than_a_silent_backend_promises_is_refused() {
        for (id, most) in [
            (SettingId::HEADER_TABLE_SIZE, 4_096),
            (SettingId::INITIAL_WINDOW_SIZE, 65_535),
            (SettingId::MAX_FRAME_SIZE, 16_384),
        ] {
            assert!(greeting(id, most).is_ok());
            assert!(matches!(greeting(id, most + 1), Err(GreetingError::Value { .. })), "{id:?}");
        }
        assert_eq!(greeting(SettingId::ENABLE_PUSH, 0), Err(GreetingError::Identifier(2)));
        assert_eq!(greeting(SettingId(0xfe03), 1), Err(GreetingError::Identifier(0xfe03)));
        let twice = [Setting { id: SettingId::MAX_FRAME_SIZE, value: 16_384 }; 2];
        assert_eq!(Greeting::new(twice), Err(GreetingError::Repeated(5)));
    }
}
