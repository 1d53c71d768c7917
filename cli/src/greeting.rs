//! What the mux tells an HTTP/2 client that waits: `NAME=VALUE,…`, as in `max-concurrent-streams=100`.

use oneport_core::wire::settings::{Setting, SettingId};
use oneport_core::Greeting;

use crate::suggest::did_you_mean;

/// The settings that can be in a greeting, as they are written (RFC 9113 §6.5.2, RFC 8441, RFC 9218).
const NAMES: [(&str, SettingId); 7] = [
    ("enable-connect-protocol", SettingId::ENABLE_CONNECT_PROTOCOL),
    ("header-table-size", SettingId::HEADER_TABLE_SIZE),
    ("initial-window-size", SettingId::INITIAL_WINDOW_SIZE),
    ("max-concurrent-streams", SettingId::MAX_CONCURRENT_STREAMS),
    ("max-frame-size", SettingId::MAX_FRAME_SIZE),
    ("max-header-list-size", SettingId::MAX_HEADER_LIST_SIZE),
    ("no-rfc7540-priorities", SettingId::NO_RFC7540_PRIORITIES),
];

/// Reads a greeting; an empty text is one without settings.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn parse(text: &str) -> Result<Greeting, String> {
    let mut settings = Vec::new();
    for entry in text.split(',').filter(|_| !text.is_empty()) {
        let (name, value) = entry.split_once('=').ok_or_else(|| {
            format!("`{entry}` is no setting; write NAME=VALUE, as in max-concurrent-streams=100")
        })?;
        let id = NAMES.iter().find(|(known, _)| *known == name).map(|(_, id)| *id).ok_or_else(|| {
            let meant = did_you_mean(name, NAMES.map(|(known, _)| known));
            let all = if meant.is_empty() {
                format!("; they are {}", NAMES.map(|(known, _)| known).join(", "))
            } else {
                meant
            };
            format!("unknown setting `{name}`{all}")
        })?;
        let value = value
            .parse()
            .map_err(|_| format!("`{value}` is no value of `{name}`; it is a number below 2^32"))?;
        settings.push(Setting { id, value });
    }
    Greeting::new(settings).map_err(|error| error.to_string())
}

/// The name of a setting, for what is printed.
pub(crate) fn name_of(id: SettingId) -> String {
    let known = NAMES.iter().find(|(_, known)| *known == id).map(|(name, _)| (*name).to_owned());
    known.unwrap_or_else(|| match id {
        SettingId::ENABLE_PUSH => "enable-push".to_owned(),
        SettingId(id) => format!("{id:#x}"),
    })
}

/// A greeting as [`parse`] reads it.
pub(crate) fn show(greeting: &Greeting) -> String {
    let entries = greeting.entries().iter();
    entries.map(|setting| format!("{}={}", name_of(setting.id), setting.value)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings() {
        for text in ["", "max-concurrent-streams=100", "max-frame-size=16384,enable-connect-protocol=1"] {
            assert_eq!(parse(text).map(|greeting| show(&greeting)), Ok(text.to_owned()));
        }
        assert_eq!(show(&Greeting::default()), "max-concurrent-streams=100");
        for (text, part) in [
            ("max-concurrent-stream=1", "did you mean `max-concurrent-streams`?"),
            ("enable-push=1", "unknown setting `enable-push`; they are"),
            ("max-frame-size", "is no setting"),
            ("max-frame-size=x", "`x` is no value"),
            ("max-frame-size=", "`` is no value"),
            ("initial-window-size=65536", "must be between 0 and 65535"),
            ("max-frame-size=16384,max-frame-size=16384", "twice"),
            (",", "is no setting"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
