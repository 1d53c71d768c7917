//! A running `oneport serve`.

pub(crate) mod stream;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything that is waited for here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The next connection to a backend; every wait on it, and for it, ends. `TcpListener::accept` waits for good, so that a test of a
/// command that does not connect would hang where it should fail.
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    let stream = accept_from(listener, TcpListener::set_nonblocking, |listener| {
        listener.accept().map(|(stream, _)| stream)
    });
    stream.set_nonblocking(false).expect("an option");
    for set_timeout in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set_timeout(&stream, Some(PATIENCE)).expect("a timeout");
    }
    stream
}

/// The same for a listener of another kind; the stream is as `accept` gives it.
pub(crate) fn accept_from<L, S>(
    listener: &L,
    set_nonblocking: impl Fn(&L, bool) -> io::Result<()>,
    accept: impl Fn(&L) -> io::Result<S>,
) -> S {
    let until = Instant::now() + PATIENCE;
    set_nonblocking(listener, true).expect("an option");
    let stream = loop {
        match accept(listener) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert!(Instant::now() < until, "nobody connects to the backend");
                thread::sleep(Duration::from_millis(2));
            }
            accepted => break accepted.expect("a connection"),
        }
    };
    set_nonblocking(listener, false).expect("an option");
    stream
}

/// A running `oneport serve` with one route, `any`; ended with the test.
pub(crate) struct Serve {
    child: Child,
    pub(crate) address: String,
    log: Receiver<String>,
}

impl Serve {
    pub(crate) fn start(backend: SocketAddr, options: &[&str]) -> Self {
        let route = format!("any={backend}");
        Self::start_with(&[&["--route", route.as_str()], options].concat())
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_oneport")), options)
    }

    /// A process that may open so many files.
    pub(crate) fn start_with_files(backend: SocketAddr, files: usize) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_oneport")]);
        Self::spawn(shell, &["--route", &format!("any={backend}")])
    }

    /// A process that may use one processor of those that this one may use.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_on_one_processor(backend: SocketAddr, options: &[&str]) -> Self {
        use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};
        let pinned = || {
            // A process inherits this from the thread that starts it.
            let all = sched_getaffinity(None).expect("the processors of this thread");
            let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).expect("at least one");
            let mut one = CpuSet::new();
            one.set(first);
            sched_setaffinity(None, &one).expect("a thread may give up processors");
            Self::start(backend, options)
        };
        thread::scope(|scope| scope.spawn(pinned).join().expect("it starts"))
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a process of Linux").count()
    }

    fn spawn(mut program: Command, options: &[&str]) -> Self {
        let level = if options.contains(&"--log-level") { &[][..] } else { &["--log-level", "debug"] };
        let mut child = program
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(level)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("where it listens");
        let address = first.trim().rsplit(' ').next().expect("a word").to_owned();
        let (line, log) = channel();
        let errors = BufReader::new(child.stderr.take().expect("a pipe"));
        thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        Self { child, address, log }
    }

    /// A client that has said nothing yet.
    pub(crate) fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(&self.address).expect("it listens");
        for set_timeout in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set_timeout(&client, Some(PATIENCE)).expect("a timeout");
        }
        client
    }

    /// A client that has sent a request.
    pub(crate) fn request(&self) -> TcpStream {
        let mut client = self.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("written");
        client
    }

    /// Its open files, as Linux names them: `socket:[17]`, `pipe:[18]`.
    pub(crate) fn files(&self) -> Vec<String> {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("a process of Linux");
        let links = folder.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.map(|link| link.to_string_lossy().into_owned()).collect()
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    /// How the next connection to end was carried: `cut` or `done`, and the bytes to the backend, to the client, and of both those
    /// that went through a pipe.
    pub(crate) fn closed(&self) -> (String, [u64; 3]) {
        let line: serde_json::Value =
            serde_json::from_str(&self.logged(r#""event":"closed""#)).expect("a line of JSON");
        let count = |name: &str| line[name].as_u64().expect("a number");
        (line["end"].as_str().expect("a word").to_owned(), ["to_backend", "to_client", "spliced"].map(count))
    }

    /// The next line of the log with this in it.
    pub(crate) fn logged(&self, part: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let line = self.log.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("{part} is not in the log"));
            if line.contains(part) {
                return line;
            }
        }
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
