//! `mqtt completions`: what makes a shell complete the command line of `mqtt`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use crate::program;

const HELP: &str = "\
The script is written to standard output. Put it where the shell looks for it, and open a new shell:

  bash        mqtt completions bash > ~/.local/share/bash-completion/completions/mqtt
  zsh         mqtt completions zsh > ~/.zfunc/_mqtt
              and in ~/.zshrc, before compinit:   fpath+=~/.zfunc
  fish        mqtt completions fish > ~/.config/fish/completions/mqtt.fish
  elvish      mqtt completions elvish > ~/.config/elvish/lib/mqtt.elv
              and in ~/.config/elvish/rc.elv:     use mqtt
  powershell  mqtt completions powershell >> $PROFILE

Directories that are not there must be made first (mkdir -p). For all users of a machine:

  bash        /usr/share/bash-completion/completions/mqtt
  zsh         /usr/local/share/zsh/site-functions/_mqtt
  fish        /usr/share/fish/vendor_completions.d/mqtt.fish

Or try it in this shell alone:   source <(mqtt completions bash)";

/// The arguments of `mqtt completions`.
#[derive(Debug, Args)]
#[command(
    about = "Write the completions of a shell",
    after_help = HELP,
    after_long_help = HELP,
)]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Writes them.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    // Generating stops the program where writing fails, which is no news about a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut program::command(),
        "mqtt",
        &mut script,
    );
    match io::stdout().write_all(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            // Nothing is left to say it to if this fails.
            let _ = writeln!(io::stderr(), "mqtt completions: cannot write: {cause}");
            ExitCode::FAILURE
        }
    }
}
