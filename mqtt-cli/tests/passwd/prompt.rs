//! Prompts on a pseudo-terminal.

use std::os::unix::process::ExitStatusExt as _;

use rustix::process::{Pid, Signal, kill_process};

use crate::directory::Directory;
use crate::terminal::Terminal;
use crate::{Program, mosquitto_is_there};

fn run(program: Program, directory: &Directory, arguments: &[&str]) -> Terminal {
    let mut command = program.command();
    command.current_dir(&directory.0).args(arguments);
    Terminal::run(command)
}

/// Answers to the prompts of `arguments` with `first` and, if there is one, `second`.
fn answered(
    program: Program,
    arguments: &[&str],
    first: &str,
    second: Option<&str>,
) -> (Option<i32>, String) {
    let directory = Directory::with("a:1\n");
    let mut terminal = run(program, &directory, arguments);
    terminal.expect_hidden("Password: ");
    terminal.type_line(first);
    if let Some(second) = second {
        terminal.expect_hidden("Reenter password: ");
        terminal.type_line(second);
    }
    let (status, screen) = terminal.end();
    (status.code(), screen)
}

#[test]
fn the_terminal_shows_the_same_as_with_mosquitto() {
    if !mosquitto_is_there() {
        return;
    }
    for (first, second) in [
        ("secret", Some("secret")),
        ("secret", Some("Secret")),
        ("secret", Some("")),
        ("", None),
    ] {
        for arguments in [&["-c", "f", "a"][..], &["f", "b"]] {
            let theirs = answered(Program::Mosquitto, arguments, first, second);
            let ours = answered(Program::StandIn, arguments, first, second);
            assert_eq!(ours, theirs, "{arguments:?} {first:?} {second:?}");
            assert!(!ours.1.contains("ecret"), "{ours:?}");
        }
    }
}

#[test]
fn a_password_is_typed_unseen_and_verified() {
    let directory = Directory::new();
    let mut terminal = run(Program::Native, &directory, &["-c", "f", "anna"]);
    terminal.expect_hidden("Password: ");
    terminal.type_line("sécret ");
    terminal.expect_hidden("Reenter password: ");
    terminal.type_line("sécret ");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(0), "{screen}");
    assert_eq!(screen, "Password: \r\nReenter password: \r\n");
    assert!(directory.contents().unwrap().starts_with("anna:$argon2id$"));
    for (typed, code, said) in [
        ("sécret ", 0, ""),
        ("sécret", 4, "mqtt passwd: the password is wrong\r\n"),
    ] {
        let arguments = ["--verify", "f", "anna"];
        let mut terminal = run(Program::Native, &directory, &arguments);
        terminal.expect_hidden("Password: ");
        terminal.type_line(typed);
        let (status, screen) = terminal.end();
        assert_eq!(screen, format!("Password: \r\n{said}"));
        assert_eq!(status.code(), Some(code));
    }
}

#[test]
fn a_mismatch_changes_nothing() {
    let directory = Directory::with("a:1\n");
    let mut terminal = run(Program::Native, &directory, &["f", "b"]);
    terminal.expect_hidden("Password: ");
    terminal.type_line("one");
    terminal.expect_hidden("Reenter password: ");
    terminal.type_line("two");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        screen.ends_with("mqtt passwd: the passwords are not the same\r\n"),
        "{screen}"
    );
    assert_eq!(directory.contents().unwrap(), "a:1\n");
}

/// A terminal that stays silent after a program is a terminal that seems to be dead.
#[test]
fn a_signal_at_the_prompt_leaves_a_terminal_that_shows_what_is_typed() {
    for program in [Program::StandIn, Program::Native] {
        for (signal, code) in [
            (Signal::INT, 130),
            (Signal::TERM, 143),
            (Signal::HUP, 129),
            (Signal::QUIT, 131),
        ] {
            let directory = Directory::with("a:1\n");
            let terminal = run(program, &directory, &["f", "a"]);
            terminal.expect_hidden("Password: ");
            let child = Pid::from_child(&terminal.child);
            kill_process(child, signal).unwrap();
            let (status, screen) = terminal.end();
            assert_eq!(
                (status.code(), status.signal()),
                (Some(code), None),
                "{screen}"
            );
            assert_eq!(directory.contents().unwrap(), "a:1\n");
        }
    }
}
