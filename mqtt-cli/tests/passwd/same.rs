//! The same command lines to Mosquitto's program and to ours.

use std::path::Path;

use crate::directory::Directory;
use crate::{Program, mosquitto_is_there, text};

/// What a call left behind, without what is random in it.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    exit_code: Option<i32>,
    out: String,
    err: String,
    file: Option<String>,
    names: Vec<String>,
}

fn outcome(program: Program, before: Option<&str>, arguments: &[&str], input: &str) -> Outcome {
    let directory = match before {
        Some(contents) => Directory::with(contents),
        None => Directory::new(),
    };
    let output = program.run(&directory.0, arguments, input.as_bytes());
    // It is not the same for both, and shown in some messages.
    let place = directory.0.canonicalize().unwrap();
    let neutral = |bytes: &[u8]| masked(&text(bytes).replace(path_text(&place), "PLACE"));
    Outcome {
        exit_code: output.status.code(),
        out: neutral(&output.stdout),
        err: neutral(&output.stderr),
        file: directory.contents().map(|contents| masked(&contents)),
        names: directory.names(),
    }
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Salts and hashes as their lengths.
fn masked(text: &str) -> String {
    let mask = |field: &str| match field.len() {
        16 => "SALT".to_owned(),
        88 => "HASH".to_owned(),
        _ => field.to_owned(),
    };
    let line = |line: &str| line.split('$').map(mask).collect::<Vec<_>>().join("$");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn assert_same(before: Option<&str>, arguments: &[&str], input: &str) -> Outcome {
    let theirs = outcome(Program::Mosquitto, before, arguments, input);
    let ours = outcome(Program::StandIn, before, arguments, input);
    assert_eq!(ours, theirs, "{before:?} {arguments:?} {input:?}");
    ours
}

const COMMAND_LINES: &[&[&str]] = &[
    &[],
    &["--help"],
    &["-x", "f", "a"],
    &["--", "f", "a"],
    &["f"],
    &["f", "a", "p"],
    &["-b"],
    &["-b", "f", "a"],
    &["-b", "f", "a", "p"],
    &["-b", "f", "a", "p", "more"],
    &["-b", "f", "a", ""],
    &["-b", "f", "a", "with:colon"],
    &["-b", "f", "b c", "p"],
    &["-b", "f", "b:c", "p"],
    &["-b", "f", "b\u{1}", "p"],
    &["-b", "f", "b\u{7f}", "p"],
    &["-b", "f", "b\u{85}", "p"],
    &["-b", "f", "b\u{1}:", "p"],
    &["-b", "f", "b:\u{1}", "p"],
    &["-b", "f", "ä", "ö"],
    &["-b", "f", " a ", "p"],
    &["-b", "f", "#", "p"],
    &["-b", "d/f", "a", "p"],
    &["-b", "g", "a", "p"],
    &["-b", ".", "a", "p"],
    &["-b", "", "a", "p"],
    &["-c"],
    &["-c", "f"],
    &["-c", "-b"],
    &["-c", "-b", "f"],
    &["-b", "-c", "f", "a"],
    &["-c", "-b", "f", "a", "p"],
    &["-b", "-c", "f", "a", "p", "more"],
    &["-c", "-b", "d/f", "a", "p"],
    &["-c", "-b", ".", "a", "p"],
    &["-c", "-b", "", "a", "p"],
    &["-c", "-b", "/dev/null", "a", "p"],
    &["-c", "-b", "/dev/stdout", "a", "p"],
    &["-c", "-b", "/dev/stderr", "a", "p"],
    &["-D"],
    &["-D", "f"],
    &["-D", "f", "a"],
    &["-D", "f", "a", "more"],
    &["-D", "f", "b"],
    &["-D", "f", "b:c"],
    &["-D", "f", ""],
    &["-D", "g", "a"],
    &["-U"],
    &["-U", "f"],
    &["-U", "f", "a"],
    &["-U", "g"],
    &["-b", "-U", "f"],
    &["-b", "-U"],
    &["-c", "-D"],
    &["-c", "-U"],
    &["-D", "-U", "f", "a"],
    &["-b", "-D", "f", "a"],
    &["-c", "-D", "-U", "-b"],
    &["-H"],
    &["-H", "sha512"],
    &["-H", "sha1", "-b", "f", "a", "p"],
    &["-H", "sha512", "-b", "f", "a", "p"],
    &["-H", "sha512-pbkdf2", "-b", "f", "a", "p"],
    &["-U", "-H", "sha512", "f"],
    &["-I"],
    &["-I", "0"],
    &["-I", "-1", "-b", "f", "a", "p"],
    &["-I", "many", "-b", "f", "a", "p"],
    &["-I", "10", "-b", "f", "a", "p"],
    &["-I", " +10x", "-b", "f", "a", "p"],
];

#[test]
fn the_command_line_is_understood_alike() {
    if !mosquitto_is_there() {
        return;
    }
    for line in COMMAND_LINES {
        assert_same(Some("a:1\nz:2\n"), line, "");
        assert_same(None, line, "");
    }
}

#[test]
fn files_are_changed_alike() {
    if !mosquitto_is_there() {
        return;
    }
    let set: &[&str] = &["-b", "f", "a", "p"];
    let delete: &[&str] = &["-D", "f", "a"];
    let hash: &[&str] = &["-U", "f"];
    let files = [
        "a:1\n",
        "a:1\nb:2\na:3\n",
        "b:2\na:1\r\nc:3\r\n",
        "  a : 1 \n b:2\n",
        ":::a:::1\nb:x:y\n",
        "#a:1\nab:2\n",
        "a:$7$101$already$hashed\n",
    ];
    for file in files {
        for line in [set, delete] {
            assert_same(Some(file), line, "");
        }
        if !file.contains('#') {
            assert_same(Some(file), hash, "");
        }
    }
    for file in ["", "#a:1\nb:2\n", "b:1\n"] {
        assert_same(Some(file), &["-D", "f", "#a"], "");
        assert_same(Some(file), set, "");
    }
    for file in ["a\n", "b:1\na:\n", "a:1\n \t\nx\n"] {
        let ours = outcome(Program::StandIn, Some(file), hash, "");
        assert_eq!(ours.file.as_deref(), Some(file));
        assert_eq!(ours.exit_code, Some(1), "{file:?}");
    }
    for file in ["a\n", "b:1\na:\n"] {
        assert_same(Some(file), hash, "");
    }
}

/// Without a terminal, the prompts are the same, and two lines are read.
#[test]
fn passwords_are_read_from_standard_input_alike() {
    if !mosquitto_is_there() {
        return;
    }
    for input in [
        "",
        "\n",
        "x",
        "x\n",
        "x\n\n",
        "x\ny\n",
        "x\nx\n",
        "x\nx",
        "x\r\nx\n",
        "x y \nx y \n",
        " \n \n",
        "x\nx\nx\n",
    ] {
        for line in [
            &["-c", "f", "n"][..],
            &["-c", "f", "n", "more"],
            &["f", "n"],
            &["-c", "d/f", "n"],
            &["g", "n"],
            &["-H", "sha512", "f", "a"],
        ] {
            assert_same(Some("a:1\n"), line, input);
        }
    }
}

#[test]
fn what_is_too_long_is_refused_alike() {
    if !mosquitto_is_there() {
        return;
    }
    for bytes in [65_535, 65_536] {
        let long = "x".repeat(bytes);
        assert_same(None, &["-c", "-b", "f", &long, "p"], "");
        assert_same(None, &["-c", "-b", "f", "a", &long], "");
        assert_same(Some("a:1\n"), &["-D", "f", &long], "");
    }
    let long = "x".repeat(65_536);
    let typed = outcome(
        Program::StandIn,
        None,
        &["-c", "f", "a"],
        &format!("{long}\n{long}\n"),
    );
    assert_eq!(typed.exit_code, Some(1));
    assert_eq!(
        typed.err,
        "Error: Password must be less than 65536 characters long.\n"
    );
}

/// Mosquitto's program loses everything from the first comment on, exits with 0 after a line that is
/// no entry, and appends to a last line that has no end.
#[test]
fn nothing_is_lost_where_mosquitto_loses_it() {
    let file = |before, arguments: &[&str]| {
        let outcome = outcome(Program::StandIn, Some(before), arguments, "");
        (outcome.exit_code, outcome.err, outcome.file.unwrap())
    };
    let hashed = "$7$101$SALT$HASH";
    assert_eq!(
        file("# users\n\na:1\n# more\nb:2\n", &["-b", "f", "a", "p"]),
        (
            Some(0),
            String::new(),
            format!("# users\n\na:{hashed}\n# more\nb:2\n")
        )
    );
    assert_eq!(
        file("# a:1\na:1\n", &["-U", "f"]),
        (Some(0), String::new(), format!("# a:1\na:{hashed}\n"))
    );
    assert_eq!(
        file("a:1", &["-b", "f", "b", "p"]),
        (Some(0), String::new(), format!("a:1\nb:{hashed}\n"))
    );
    let corrupt = "Error: Corrupt password file at line 2.\n".to_owned();
    for arguments in [&["-b", "f", "b", "p"][..], &["-D", "f", "a"], &["-U", "f"]] {
        let unchanged = "a:1\nnonsense\nc:2\n";
        let expected = (Some(1), corrupt.clone(), unchanged.to_owned());
        assert_eq!(file(unchanged, arguments), expected);
    }
    let empty = "Error: Username must not be empty.\n".to_owned();
    let expected = (Some(1), empty, "a:1\n".to_owned());
    assert_eq!(file("a:1\n", &["-b", "f", "", "p"]), expected);
}
