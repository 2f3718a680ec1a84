//! Reading a password: from a terminal, where nothing of it is shown, or from what stands in for one.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write};
use std::process::ExitCode;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The longest password that MQTT can carry, in bytes.
pub(crate) const PASSWORD_BYTES_MAX: usize = 65_535;

/// No password was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromptError {
    #[error("the password is empty")]
    Empty,
    #[error("the passwords are not the same")]
    Mismatch,
    #[error(
        "the password is longer than {PASSWORD_BYTES_MAX} bytes, which is the most that MQTT can carry"
    )]
    TooLong,
    #[error("cannot read the password: {0}")]
    Io(#[from] io::Error),
    /// By a signal, whose number this is.
    #[error("interrupted")]
    Interrupted(u8),
}

impl PromptError {
    /// The exit code of a program that ends by it: a signal's as shells count it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Empty | Self::Mismatch | Self::TooLong | Self::Io(_) => ExitCode::FAILURE,
            Self::Interrupted(signal) => ExitCode::from(128 + signal),
        }
    }
}

/// Who types the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Someone who makes it up, and types it twice.
    Choose,
    /// Someone who knows it.
    Enter,
}

/// A password from a terminal, with prompts on standard error, or else the first line of standard
/// input.
///
/// # Errors
/// [`PromptError`]; the terminal shows again what is typed then.
pub(crate) fn read(purpose: Purpose) -> Result<Vec<u8>, PromptError> {
    if !io::stdin().is_terminal() {
        return not_empty(read_line()?);
    }
    let password = not_empty(ask(b"Password: ")?)?;
    match purpose {
        Purpose::Enter => Ok(password),
        Purpose::Choose if ask(b"Reenter password: ")? == password => Ok(password),
        Purpose::Choose => Err(PromptError::Mismatch),
    }
}

fn ask(prompt: &[u8]) -> Result<Vec<u8>, PromptError> {
    let mut err = io::stderr();
    let line = read_hidden(prompt, &mut err);
    // The end of the line was not shown either.
    err.write_all(b"\n")?;
    line
}

fn not_empty(password: Vec<u8>) -> Result<Vec<u8>, PromptError> {
    if password.is_empty() {
        Err(PromptError::Empty)
    } else {
        Ok(password)
    }
}

/// Writes `prompt` to `out` and reads a line of standard input, without its end. A terminal shows
/// nothing of it.
///
/// # Errors
/// [`PromptError`], but neither of an empty line nor of a mismatch.
pub(crate) fn read_hidden(prompt: &[u8], out: &mut impl Write) -> Result<Vec<u8>, PromptError> {
    let mut show = || {
        out.write_all(prompt)?;
        out.flush()
    };
    if !io::stdin().is_terminal() {
        show()?;
        return read_line();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let line = runtime.block_on(async {
        // First of all: a signal must not end the program while the terminal is silent.
        let mut signals = Signals::new()?;
        let _silence = Silence::begin();
        show()?;
        tokio::select! {
            line = tokio::task::spawn_blocking(read_line) => line.map_err(io::Error::other)?,
            signal = signals.recv() => Err(interrupted(signal)),
        }
    });
    // The other thread may read for ever.
    runtime.shutdown_background();
    line
}

/// The signals that end a program.
struct Signals {
    hang_up: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn recv(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.hang_up.recv() => SignalKind::hangup(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.quit.recv() => SignalKind::quit(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }
}

/// A terminal that shows nothing, until this is dropped.
struct Silence {
    before: Termios,
}

impl Silence {
    /// `None` if standard input is no terminal.
    fn begin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &silent).ok()?;
        Some(Self { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn read_line() -> Result<Vec<u8>, PromptError> {
    let mut line = Vec::new();
    // With room for the end of the line.
    let limit = PASSWORD_BYTES_MAX as u64 + 2;
    io::stdin()
        .lock()
        .take(limit)
        .read_until(b'\n', &mut line)?;
    while line
        .last()
        .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
    {
        line.pop();
    }
    if line.len() > PASSWORD_BYTES_MAX {
        return Err(PromptError::TooLong);
    }
    Ok(line)
}

fn interrupted(signal: SignalKind) -> PromptError {
    PromptError::Interrupted(u8::try_from(signal.as_raw_value()).unwrap_or_default())
}
