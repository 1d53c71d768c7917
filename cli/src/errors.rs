//! How the command fails: one message and an exit code.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// A failure, with all that the user is told.
#[derive(Debug)]
pub(crate) enum Error {
    /// Something that was asked for makes no sense or can not be had: exit code 2. An argument, the configuration, an address
    /// that can not be listened on.
    Usage(String),
    /// Something went wrong on the way: exit code 1.
    Runtime(String),
}

impl Error {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn runtime(message: impl Into<String>) -> Self {
        Self::Runtime(message.into())
    }

    /// Says it on stderr and returns the exit code. A closed stderr takes nothing away from the code.
    pub(crate) fn report(&self) -> ExitCode {
        let _ = writeln!(io::stderr(), "oneport: {self}");
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Runtime(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Runtime(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

/// Prints to stdout. That a reader has closed it early (`| head`) is no failure.
///
/// # Errors
/// Stdout takes nothing for another reason, for example a full disk.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::runtime(format!("can not write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
