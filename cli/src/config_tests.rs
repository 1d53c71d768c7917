//! What a file may say, and how each mistake is named.

use proptest::prelude::*;

use super::*;

const WHOLE: &str = r#"
listen = ["127.0.0.1:8080", "unix:/run/oneport.sock"]
per_request = false
splice = false
drain = "9s"
otherwise = "127.0.0.1:3000"
on_timeout = "close"
server_first = { backend = "db:3306", after = "300ms" }
greeting = "max-concurrent-streams=50"

[limits]
settings_patience = "7ms"
max_http1_head = "16KiB"
max_client_hello = 0x4000
max_frames = 20

[[route]]
match = ["grpc", "!host:*.internal"]
backend = "unix:/run/a=b,c.sock"

[[route]]
match = 'ssh'
backend = "close"
"#;

fn message(text: &str) -> String {
    match parse("oneport.toml", text) {
        Err(Error::Usage(message)) => message,
        other => panic!("{text}: expected a usage error, got {other:?}"),
    }
}

#[test]
fn a_whole_file() {
    let draft = parse("oneport.toml", WHOLE).unwrap();
    let routes: Vec<_> = draft.routes.iter().map(|(route, at)| (route.to_string(), at.as_str())).collect();
    assert_eq!(
        routes,
        [
            (r"grpc,!host:*.internal=unix:/run/a\=b\,c.sock".to_owned(), "oneport.toml:17"),
            ("ssh=close".to_owned(), "oneport.toml:21"),
        ]
    );
    let listen: Vec<_> = draft.listen.iter().map(Address::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:8080", "unix:/run/oneport.sock"]);
    assert_eq!(draft.drain.as_secs(), 9);
    assert!(!draft.splice && Draft::default().splice);
    assert_eq!(draft.otherwise.map(|b| b.to_string()).as_deref(), Some("127.0.0.1:3000"));
    assert_eq!(draft.on_timeout, Some(Backend::Close));
    assert_eq!(
        draft.server_first.map(|(b, after)| (b.to_string(), after.as_millis())),
        Some(("db:3306".to_owned(), 300))
    );
    assert_eq!(draft.limits.mux.settings_patience.as_millis(), 7);
    assert_eq!((draft.limits.mux.max_http1_head, draft.limits.mux.max_client_hello), (16 << 10, 0x4000));
    assert_eq!(draft.limits.mux.max_frames, 20);
    assert_eq!(greeting::show(&draft.limits.mux.greeting), "max-concurrent-streams=50");
}

#[test]
fn each_mistake_is_named_with_line_column_and_word() {
    let route = |rest: &str| format!("[[route]]\n{rest}\n");
    for (text, place, part) in [
        ("lsten = \"a:1\"".to_owned(), "1:1", "no `lsten`; did you mean `listen`?"),
        ("x = 1".to_owned(), "1:1", "no `x`; it has drain, greeting,"),
        (
            "listen = 8080".to_owned(),
            "1:10",
            "should be an address, as in \"127.0.0.1:8080\", not of type integer",
        ),
        ("listen = [\"a:1\",\n  \"b:x\"]".to_owned(), "2:6", "`x` is no port"),
        ("listen = \"a:1".to_owned(), "1:14", "invalid basic string"),
        ("listen = ".to_owned(), "1:10", "string values must be quoted"),
        ("drain = 8".to_owned(), "1:9", "should be a duration, as in \"8s\""),
        ("drain = \"8\"".to_owned(), "1:9", "has no unit"),
        ("drain = \"8s\"\ndrain = \"9s\"".to_owned(), "2:1", "duplicate key"),
        ("per_request = \"no\"".to_owned(), "1:15", "true or false"),
        ("splice = 0".to_owned(), "1:10", "true or false"),
        ("[limits]\nsilent-deadline = \"1s\"".to_owned(), "2:1", "did you mean `silent_deadline`?"),
        ("[limits]\nsilent_deadline = 5".to_owned(), "2:19", "`5` has no unit"),
        ("[limits]\nmax_frames = -1".to_owned(), "2:14", "no whole number"),
        ("[limits]\nmax_frames = 0".to_owned(), "2:14", "between 1 and"),
        ("[limits]\nmax_frames = true".to_owned(), "2:14", "not of type boolean"),
        ("limits = 1".to_owned(), "1:10", "`[limits]`"),
        ("[route]\nmatch = \"any\"".to_owned(), "1:1", "two brackets"),
        (route("match = \"any\""), "1:1", "no `backend`"),
        (route("backend = \"a:1\""), "1:1", "no `match`"),
        (route("macth = \"any\"\nbackend = \"a:1\""), "2:1", "a route has no `macth`; did you mean `match`?"),
        (route("match = [\"http1\", \"grcp\"]"), "2:20", "unknown term `grcp`; did you mean `grpc`?"),
        (route("match = []"), "2:9", "needs a term"),
        (route("match = \"\""), "2:9", "a term is missing"),
        (route("match = [\"any\", 1]"), "2:17", "a term, as in \"grpc\""),
        (route("match = \"header:x=\\u0061\\\\q\""), "2:9", "is no escape"),
        (route("match = 'any'\nbackend = \"localhost\""), "3:12", "`localhost` has no port"),
        ("server_first = { backend = \"a:1\" }".to_owned(), "1:16", "after = \"300ms\""),
        ("greeting = \"max-frame-size=5\"".to_owned(), "1:12", "between 16384 and 16384"),
    ] {
        let message = message(&text);
        assert!(message.starts_with(&format!("oneport.toml:{place}: ")), "{text}\n{message}");
        assert!(message.contains(part), "{text}\n{message}");
        assert!(message.contains('^'), "{message}");
    }
}

#[test]
fn the_line_is_shown_and_the_word_is_marked() {
    assert_eq!(
        message("listen = \"a:1\"\n[[route]]\nmatch = [\"grcp\"]\n"),
        "oneport.toml:3:11: unknown term `grcp`; did you mean `grpc`?\n  match = [\"grcp\"]\n            ^^^^"
    );
}

#[test]
fn files_that_can_not_be_read() {
    let error = read(Path::new("/nonexistent/oneport.toml")).unwrap_err().to_string();
    assert!(error.contains("can not read /nonexistent/oneport.toml"), "{error}");
}

proptest! {
    #[test]
    fn no_file_panics(text in "\\PC*|([a-z_]{1,8} = [\\[\\]{}\"0-9a-z,:]{0,12}\n){0,4}") {
        let _ = parse("f", &text);
    }

    #[test]
    fn no_mutation_of_a_file_panics(at in 0..WHOLE.len(), byte in 0..128u8) {
        let mut bytes = WHOLE.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = parse("f", std::str::from_utf8(&bytes).unwrap());
    }
}
