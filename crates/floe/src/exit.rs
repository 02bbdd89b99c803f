//! How the program ends: 0 ok, 1 failed, 2 used in a way it can't be.

use std::{fmt, io, process::ExitCode};

/// An error of usage: exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

/// An end that has said all there is to say: only the exit code is left.
#[derive(Debug)]
pub(crate) struct Silent(pub(crate) u8);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Usage {}
impl std::error::Error for Silent {}

/// An error of usage with this sentence.
pub(crate) fn usage(sentence: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(sentence.into()))
}

/// Says on standard error what went wrong, if something did, and picks the code.
pub(crate) fn code(result: anyhow::Result<()>) -> ExitCode {
    use io::Write;
    let Err(error) = result else { return ExitCode::SUCCESS };
    if let Some(Silent(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    // A reader that has seen enough (`floe consume … | head`) is not a failure.
    if error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
    {
        return ExitCode::SUCCESS;
    }
    for sentence in format!("{error:#}").lines() {
        let _ = writeln!(io::stderr(), "floe: {}", crate::output::shown(sentence));
    }
    ExitCode::from(if error.downcast_ref::<Usage>().is_some() { 2 } else { 1 })
}
