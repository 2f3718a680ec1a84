//! `mqtt completions`: the scripts know all subcommands, and shells take them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at what it did not expect"
)]

use std::io::Write as _;
use std::process::{Command, Stdio};

fn mqtt(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt"));
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// As the help lists them.
fn subcommands(of: &[&str]) -> Vec<String> {
    let help = mqtt(&[of, &["--help"]].concat());
    let list = help.split_once("Commands:\n").unwrap().1;
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    // A long description goes on in lines that begin further right.
    let names = lines.filter(|line| !line.starts_with("   "));
    names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

#[test]
fn each_shell_gets_all_subcommands() {
    let names = [subcommands(&[]), subcommands(&["retained"])].concat();
    for known in [
        "pub",
        "sub",
        "rr",
        "passwd",
        "completions",
        "help",
        "retained",
        "ls",
        "import",
    ] {
        assert!(names.iter().any(|name| name == known), "{known}: {names:?}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = mqtt(&["completions", shell]);
        for name in &names {
            let is_there = script
                .split(|letter: char| !letter.is_alphanumeric() && letter != '-')
                .any(|word| word == name);
            assert!(is_there, "{shell}: {name}");
        }
        for option in ["hash-plain", "sha512-pbkdf2"] {
            assert!(script.contains(option), "{shell}: {option}");
        }
        // What is hidden from the help has no place in a menu either.
        assert!(!script.contains("batch"), "{shell}");
        let help = mqtt(&["completions", "--help"]);
        assert!(
            help.contains(&format!("mqtt completions {shell} >")),
            "{help}"
        );
    }
}

/// What `shell` says to `script` on its standard input; `None` if it is not installed.
fn said_by(shell: &str, arguments: &[&str], script: &str) -> Option<String> {
    let mut command = Command::new(shell);
    command.args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        println!("SKIPPED: {shell} is not installed");
        return None;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{shell}: {err}");
    assert_eq!(err, "", "{shell}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn shells_take_their_scripts() {
    let script = mqtt(&["completions", "bash"]);
    said_by("bash", &["--norc", "-n"], &script);
    let words = "\
        complete -p mqtt\n\
        reply() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=()\n\
            _mqtt mqtt \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[*]}\"; }\n\
        reply mqtt pas\n\
        reply mqtt completions ''\n\
        reply mqtt passwd --has\n\
        reply mqtt passwd --hash ''\n";
    if let Some(said) = said_by("bash", &["--norc"], &format!("{script}\n{words}")) {
        let lines: Vec<_> = said.lines().collect();
        assert!(lines[0].contains("-F _mqtt"), "{said}");
        assert_eq!(lines[1], "passwd", "{said}");
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            assert!(lines[2].split(' ').any(|word| word == shell), "{said}");
        }
        assert_eq!(lines[3], "--hash-plain --hash", "{said}");
        assert_eq!(lines[4], "argon2id sha512-pbkdf2", "{said}");
    }
    said_by("zsh", &["-n"], &mqtt(&["completions", "zsh"]));
    said_by("fish", &["--no-execute"], &mqtt(&["completions", "fish"]));
}

#[test]
fn an_unknown_shell_is_told_which_there_are() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt"));
    let output = command.args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("bash") && err.contains("powershell"), "{err}");
}
