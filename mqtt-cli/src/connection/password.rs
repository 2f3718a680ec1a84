//! A password from the keyboard.

use std::io::{self, IsTerminal as _};

use super::Failure;
use crate::configuration::{Configuration, Dialect};
use crate::passwd::prompt::{self, PromptError};

/// Asks for the password if there is a user without one, and a terminal to ask on. Not within a runtime: it has its own.
pub(super) fn ask(configuration: &Configuration) -> Result<(), Failure> {
    let user = match (
        &configuration.user_name,
        &configuration.password,
        configuration.dialect,
    ) {
        (Some(user), None, Dialect::Native) if io::stdin().is_terminal() => user,
        (_, _, _) => return Ok(()),
    };
    let mut stderr = io::stderr();
    let prompt = format!("Password of {user}: ");
    let typed = prompt::read_hidden(prompt.as_bytes(), &mut stderr);
    // The end of the line was not shown either.
    let _ = io::Write::write_all(&mut stderr, b"\n");
    match typed {
        Ok(password) => {
            // It is asked for once.
            let _ = configuration.typed_password.set(password);
            Ok(())
        }
        Err(PromptError::Interrupted(signal)) => {
            Err(Failure::silent(128_u8.saturating_add(signal)))
        }
        Err(wrong) => Err(Failure::new(format!("Error: {wrong}."), 1)),
    }
}
