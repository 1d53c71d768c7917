//! Every class of bad input, given to the real binary: one message with the place, exit code 2, never a backtrace.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The command with a clean environment, in which a panic would show a backtrace.
fn oneport() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneport"));
    command.env_clear().env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    oneport().args(arguments).output().expect("the binary runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are UTF-8")
}

#[track_caller]
fn assert_usage_error(output: &Output, parts: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in\n{message}");
    }
    for word in ["panicked", "backtrace", "RUST_BACKTRACE", ".rs:"] {
        assert!(!message.contains(word), "`{word}` is in\n{message}");
    }
}

/// A file that lives as long as the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("oneport-{}-{name}", std::process::id()));
        std::fs::write(&path, content).expect("the temporary folder takes a file");
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("a temporary folder with an UTF-8 name")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn mistakes_in_arguments() {
    for (arguments, parts) in [
        (&["serv"][..], &["unrecognized subcommand 'serv'", "serve"][..]),
        (&["check", "--rout", "any=a:1"], &["unexpected argument '--rout'", "--route"]),
        (&["check"], &["oneport: no route; give at least one"]),
        (&["serve", "--route", "any=a:1"], &["oneport: nowhere to listen", "--listen", "PORT"]),
        (
            &["check", "--route", "grpc=a:1", "--route", "grcp=b:2"],
            &["--route, column 1: unknown term `grcp`; did you mean `grpc`?", "  grcp=b:2\n  ^^^^\n"],
        ),
        (&["check", "--route", "http1,htp2=b:2"], &["column 7: unknown term `htp2`", "\n        ^^^^\n"]),
        (
            &["check", "--route", "grpc=localhost"],
            &["column 6: `localhost` has no port", "\n       ^^^^^^^^^\n"],
        ),
        (&["check", "--route", "grpc=a:http"], &["`http` is no port"]),
        (&["check", "--route", "grpc=::1:80"], &["`[::1]:80`"]),
        (&["check", "--route", r"prefix:\q=a:1"], &[r"column 8: `\q` is no escape"]),
        (&["check", "--otherwise", "nowhere"], &["--otherwise, column 1: `nowhere` has no port"]),
        (&["check", "--route", "grpc=a:1", "--on-timeout", "x"], &["--on-timeout, column 1: `x`"]),
        (&["check", "--route", "any=a:1", "--listen", "8080"], &["--listen, column 1: `8080` has no port"]),
        (&["demo", "--listen", ":80"], &["--listen, column 1: `:80` names no host"]),
        (
            &["check", "--route", "any=a:1", "--route", "ssh=b:1"],
            &["--route number 2: `ssh` can never be reached: `any` (--route number 1)"],
        ),
        (
            &["check", "--route", "http=a:1", "--route", "grpc=b:1"],
            &["`http` (--route number 1) stands before it"],
        ),
        (
            &["check", "--route", "any=a:1", "--silent-deadline", "75"],
            &["'75'", "--silent-deadline", "has no unit"],
        ),
        (&["check", "--route", "any=a:1", "--drain", "8 s"], &["--drain", "`8 s` is no duration"]),
        (&["check", "--route", "any=a:1", "--max-http1-head", "64KB"], &["`KB` in `64KB`", "KiB"]),
        (&["check", "--route", "any=a:1", "--max-frames", "0"], &["must be between 1 and"]),
        (&["check", "--route", "any=a:1", "--greeting", "max-frame-size=1"], &["between 16384 and 16384"]),
        (&["check", "--route", "grpc=a:1", "--server-first", "b:1"], &["--server-first-after"]),
        (&["serve", "--route", "any=a:1", "--log-format", "xml"], &["'xml'", "text, json"]),
        (&["serve", "--route", "any=a:1", "--log-level", "trace"], &["'trace'", "error, warn, info, debug"]),
        (&["check", "--config", "a.toml", "--route", "any=a:1"], &["cannot be used with"]),
        (
            &["serve", "--listen", "127.0.0.1:9", "--route", "http=a:1", "--route", "any=127.0.0.1:9"],
            &["`127.0.0.1:9` is where oneport itself listens"],
        ),
        (
            &["check", "--route", "grpc,http1=a:1"],
            &["`grpc,http1` can never be reached: nothing is both `grpc` and `http1`"],
        ),
        (
            &["check", "--listen", "0.0.0.0:9", "--route", "any=localhost:9"],
            &["`localhost:9` is where oneport itself listens"],
        ),
        (
            &[
                "check",
                "--route",
                "grpc=a:1",
                "--server-first",
                "b:1",
                "--server-first-after",
                "75s",
                "--silent-deadline",
                "75s",
            ],
            &["`server-first` can never be reached", "--silent-deadline"],
        ),
        (&["check", "--config", "/nonexistent/a.toml"], &["can not read /nonexistent/a.toml: No such file"]),
        (&["explain", "--route", "any=a:1", "/nonexistent"], &["can not read /nonexistent: No such file"]),
        (&["explain", "--route", "any=a:1", "--segments", "0"], &["at least 1"]),
        (&["explain", "--route", "any=a:1", "--segments", "5"], &["needs 5 bytes, but the input has only 0"]),
    ] {
        assert_usage_error(&run(arguments), parts);
    }
}

/// There it first has to be known whether a client speaks HTTP/2: who says nothing can be told from who does.
#[test]
fn with_per_request_nothing_is_decided_at_once() {
    let places = ["--server-first", "b:1", "--server-first-after", "1s", "--on-timeout", "c:1"];
    for (mode, is_good) in [(&["--per-request"][..], true), (&[], false)] {
        let arguments = [&["check", "--route", "any=a:1"], mode, &places].concat();
        assert_eq!(run(&arguments).status.success(), is_good, "{mode:?}");
    }
}

#[test]
fn mistakes_in_the_environment() {
    let output = oneport().args(["serve", "--route", "any=a:1"]).env("PORT", "eighty").output().unwrap();
    assert_usage_error(&output, &["the environment variable PORT is `eighty`, which is no port"]);
}

#[test]
fn mistakes_in_a_file() {
    for (name, content, parts) in [
        (
            "key.toml",
            &b"listen = \"a:1\"\n\nrutes = 1\n"[..],
            &[":3:1: the configuration has no `rutes`", "route"][..],
        ),
        (
            "term.toml",
            b"[[route]]\nmatch = [\"http1\", \"websokt\"]\nbackend = \"a:1\"\n",
            &[":2:20: unknown term `websokt`; did you mean `websocket`?", "^^^^^^^"],
        ),
        ("limit.toml", b"[limits]\nsilent_dedline = \"1s\"\n", &[":2:1:", "did you mean `silent_deadline`?"]),
        ("syntax.toml", b"listen = [\n", &["syntax.toml:", "^"]),
        ("text.toml", b"listen = \"\xff\"\n", &[":1:11: this is no UTF-8"]),
        ("empty.toml", b"", &["oneport: no route"]),
        ("mode.toml", b"per_request = \"yes\"\n", &[":1:15:", "true or false"]),
        (
            "reach.toml",
            b"[[route]]\nmatch = \"any\"\nbackend = \"a:1\"\n[[route]]\nmatch = \"ssh\"\nbackend = \"a:2\"\n",
            &["reach.toml:4: `ssh` can never be reached", "reach.toml:1) stands before it"],
        ),
    ] {
        let file = File::new(name, content);
        assert_usage_error(&run(&["check", "--config", file.name()]), parts);
    }
}

#[test]
fn a_sound_table_is_printed_and_its_warnings_are_said() {
    let config = b"listen = [\"127.0.0.1:8080\"]\n[[route]]\nmatch = [\"grpc\", \"host:a.example\"]\nbackend = \"unix:/run/a\"\n\
                   [[route]]\nmatch = \"any\"\nbackend = \"b:2\"\n[limits]\nsettings_patience = \"0\"\n";
    let file = File::new("sound.toml", config);
    let output = oneport().args(["check", "--config", file.name()]).env("K_SERVICE", "x").output().unwrap();
    let (text, said) = (String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "  127.0.0.1:8080\n",
        "  1  grpc,host:a.example  -> unix:/run/a\n",
        "  2  any                  -> b:2\n",
        "settings-patience        0  (default ",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert!(!text.contains("splice"), "{text}");
    assert!(said.contains("oneport: warning: ") && said.contains("looks at what differs"), "{said}");
    assert!(said.contains("K_SERVICE is set"), "{said}");
    let output = run(&["check", "--config", file.name(), "--no-splice"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("splice\n  off\n"), "{text}");
    // What the command line says comes before what the file says.
    let output = run(&["check", "--config", file.name(), "--listen", "c:3", "--settings-patience", "9ms"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("  c:3\n") && !text.contains("8080") && text.contains("9ms"), "{text}");
}

#[test]
fn explain_reads_standard_input() {
    let mut child = oneport()
        .args(["explain", "--route", "ssh=a:1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"SSH-2.0-x\r\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("routed by route 1 `ssh` to a:1"), "{text}");
}

#[test]
fn help_ends_well_and_no_arguments_do_not() {
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"], &["explain", "-h"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("Usage: oneport <COMMAND>"), "{}", stderr(&output));
}

/// Closed pipes are what `| head` and a supervisor that went away leave behind.
#[cfg(unix)]
#[test]
fn closed_outputs_are_no_reason_to_panic() {
    let script = |redirection: &str| {
        let line = format!("{} check --route any=a:1 {redirection}", env!("CARGO_BIN_EXE_oneport"));
        oneport_shell(&line)
    };
    assert_eq!(script("1>&- 2>/dev/null").status.code(), Some(0));
    assert_eq!(script("--listen x 2>&-").status.code(), Some(2), "the code stays without a stderr");
    let piped = oneport_shell(&format!("{} serve --help | true; echo done", env!("CARGO_BIN_EXE_oneport")));
    assert!(!stderr(&piped).contains("panicked"), "{}", stderr(&piped));
}

#[cfg(unix)]
fn oneport_shell(line: &str) -> Output {
    Command::new("/bin/sh").args(["-c", line]).env("RUST_BACKTRACE", "1").output().expect("a shell")
}

#[test]
fn an_address_that_can_not_be_listened_on() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = taken.local_addr().unwrap().to_string();
    assert_usage_error(&run(&["serve", "--route", "any=127.0.0.1:9", "--listen", &address]), &[&address]);
    assert_usage_error(&run(&["demo", "--listen", &address]), &[&address]);
    let folder = ["serve", "--route", "any=127.0.0.1:9", "--listen", "unix:/nonexistent/a.sock"];
    assert_usage_error(&run(&folder), &["/nonexistent/a.sock"]);
    // A file that is no socket is somebody's data, and is not replaced.
    let file = File::new("data", b"precious");
    let listen = format!("unix:{}", file.name());
    assert_usage_error(&run(&["serve", "--route", "any=127.0.0.1:9", "--listen", &listen]), &[file.name()]);
    assert_eq!(std::fs::read(&file.0).unwrap(), b"precious");
}
