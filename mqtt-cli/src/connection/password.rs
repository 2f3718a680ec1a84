//! A password from the keyboard.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::configuration::{Complaint, error};

/// Asks for the password of `user`, if there is a terminal to ask on; what is typed is not seen.
pub(super) fn ask(user: &str) -> Result<Option<Vec<u8>>, Complaint> {
    let (stdin, stderr) = (io::stdin(), io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return Ok(None);
    }
    let failed = |cause: io::Error| error(format_args!("Unable to ask for the password: {cause}."));
    let mut line = String::new();
    {
        let _hidden = Hidden::new().map_err(failed)?;
        write!(stderr.lock(), "Password of {user}: ").map_err(failed)?;
        stdin.lock().read_line(&mut line).map_err(failed)?;
        writeln!(stderr.lock()).map_err(failed)?;
    }
    Ok(Some(
        line.trim_end_matches(['\r', '\n']).as_bytes().to_vec(),
    ))
}

/// As long as it is there, the terminal does not show what is typed.
struct Hidden(Termios);

impl Hidden {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // If this fails, the user has to type `stty echo`; there is nobody else to tell.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
