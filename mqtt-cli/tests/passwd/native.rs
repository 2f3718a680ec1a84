//! `mqtt passwd`, where it is not Mosquitto's program.

use std::os::unix::fs::PermissionsExt as _;
use std::{fs, os};

use crate::directory::Directory;
use crate::{Program, text};

/// The exit code and standard error; there is nothing on standard output.
fn run(directory: &Directory, arguments: &[&str], input: &str) -> (i32, String) {
    let output = Program::Native.run(&directory.0, arguments, input.as_bytes());
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    (output.status.code().unwrap(), text(&output.stderr))
}

fn assert_done(directory: &Directory, arguments: &[&str], input: &str) {
    let done = (0, String::new());
    assert_eq!(run(directory, arguments, input), done, "{arguments:?}");
}

#[test]
fn users_come_change_and_go() {
    let directory = Directory::new();
    assert_done(&directory, &["-c", "f", "anna"], "one\n");
    let mode = fs::metadata(directory.0.join("f"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // Only the first line counts, and its end may be missing.
    assert_done(&directory, &["f", "bert"], "two\nthree\n");
    assert_done(
        &directory,
        &["--hash", "sha512-pbkdf2", "-I", "7", "f", "carl"],
        "four",
    );
    let contents = directory.contents().unwrap();
    let lines: Vec<_> = contents.lines().collect();
    assert!(
        lines[0].starts_with("anna:$argon2id$v=19$m=47104,t=1,p=1$"),
        "{contents}"
    );
    assert!(lines[1].starts_with("bert:$argon2id$"), "{contents}");
    assert!(lines[2].starts_with("carl:$7$7$"), "{contents}");
    assert_eq!(lines.len(), 3);

    for (user, password) in [("anna", "one"), ("bert", "two"), ("carl", "four")] {
        assert_done(&directory, &["--verify", "f", user], password);
        let wrong = run(&directory, &["--verify", "f", user], "wrong\n");
        assert_eq!(
            wrong,
            (4, "mqtt passwd: the password is wrong\n".to_owned())
        );
    }
    assert_done(&directory, &["f", "anna"], "five\n");
    assert_eq!(run(&directory, &["--verify", "f", "anna"], "one\n").0, 4);
    assert_done(&directory, &["--verify", "f", "anna"], "five\n");

    assert_done(&directory, &["-D", "f", "anna"], "");
    let (code, said) = run(&directory, &["--verify", "f", "anna"], "five\n");
    assert_eq!(
        (code, &*said),
        (4, "mqtt passwd: f: there is no user anna\n")
    );
    let (code, said) = run(&directory, &["-D", "f", "anna"], "");
    assert_eq!(
        (code, &*said),
        (4, "mqtt passwd: f: there is no user anna\n")
    );
    assert_eq!(directory.contents().unwrap().lines().count(), 2);
    assert_eq!(directory.names(), ["f"]);
}

#[test]
fn a_file_is_neither_overwritten_nor_made_by_accident() {
    let directory = Directory::with("a:1\n");
    let (code, said) = run(&directory, &["-c", "f", "b"], "x\n");
    assert_eq!(code, 1);
    assert_eq!(
        said,
        "mqtt passwd: f is there already; without -c, users are added to it\n"
    );
    assert_eq!(directory.contents().unwrap(), "a:1\n");
    for arguments in [
        &["g", "b"][..],
        &["-D", "g", "b"],
        &["-U", "g"],
        &["--verify", "g", "b"],
    ] {
        let (code, said) = run(&directory, arguments, "x\n");
        assert_eq!(code, 1);
        assert_eq!(
            said, "mqtt passwd: g is not there; -c creates it\n",
            "{arguments:?}"
        );
    }
    let (code, said) = run(&directory, &["-c", "d/f", "b"], "x\n");
    assert_eq!((code, said.contains("No such file")), (1, true), "{said}");
    assert_eq!(directory.names(), ["f"]);
}

#[test]
fn no_password_is_taken_from_the_arguments() {
    let directory = Directory::with("a:1\n");
    for arguments in [
        &["-b", "f", "a", "hunter2"][..],
        &["f", "a", "hunter2"],
        &["-b", "f", "a"],
    ] {
        let (code, said) = run(&directory, arguments, "x\n");
        assert_eq!(code, 1, "{arguments:?}");
        assert!(said.contains("can be seen by all users"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert_eq!(directory.contents().unwrap(), "a:1\n");
}

#[test]
fn only_plain_text_is_hashed() {
    let hash = "$6$OBN7cqiR0/ROG/DS$w1HmEsduceKaQHorsXrpe7AUKswQ457HPzaji+O0PDtHQMMog4wd6jCHVnkYxkXnsOT6IKkTNi3LY2mW32pYxA==";
    let directory = Directory::with(&format!("# plain: text\na:one\n\nb:{hash}\nc: two \n"));
    let arguments = ["-U", "--hash", "sha512-pbkdf2", "f"];
    let said = (0, "passwords hashed: 2\n".to_owned());
    assert_eq!(run(&directory, &arguments, ""), said);
    let once = directory.contents().unwrap();
    assert!(once.starts_with("# plain: text\na:$7$1000$"), "{once}");
    assert!(
        once.contains(&format!("\n\nb:{hash}\nc:$7$1000$")),
        "{once}"
    );
    for (user, password) in [("a", "one"), ("b", "y"), ("c", "two")] {
        assert_done(&directory, &["--verify", "f", user], password);
    }
    // A second time there is nothing to do, and the file is not touched.
    let inode = |directory: &Directory| {
        let metadata = fs::metadata(directory.0.join("f")).unwrap();
        os::unix::fs::MetadataExt::ino(&metadata)
    };
    let before = inode(&directory);
    let said = (0, "passwords hashed: 0\n".to_owned());
    assert_eq!(run(&directory, &arguments, ""), said);
    assert_eq!(
        (directory.contents().unwrap(), inode(&directory)),
        (once, before)
    );
}

#[test]
fn what_no_broker_could_use_is_refused() {
    let directory = Directory::with("a:plain\nb:$6$damaged$\n");
    let before = directory.contents();
    for (user, problem) in [
        ("", "is empty"),
        ("x:y", "contains ':'"),
        ("x\ny", "control character"),
        ("x\u{85}", "control character"),
        ("#x", "begins with '#'"),
        (" x", "blank"),
        ("x\u{7f}", "control character"),
    ] {
        let (code, said) = run(&directory, &["f", user], "x\n");
        assert_eq!(code, 1, "{user:?}");
        assert!(said.contains(problem), "{user:?}: {said}");
    }
    let (code, said) = run(&directory, &["f", "c"], "\n");
    assert_eq!((code, &*said), (1, "mqtt passwd: the password is empty\n"));
    let (code, said) = run(&directory, &["f", "c"], &"x".repeat(65_536));
    assert_eq!(code, 1);
    assert!(said.contains("longer than 65535 bytes"), "{said}");
    let (code, said) = run(&directory, &["--verify", "f", "a"], "plain\n");
    assert_eq!(code, 1);
    assert!(
        said.starts_with("mqtt passwd: f, user a: it is not hashed"),
        "{said}"
    );
    let (code, said) = run(&directory, &["--verify", "f", "b"], "plain\n");
    assert_eq!(code, 1);
    assert!(
        said.starts_with("mqtt passwd: f, user b: its hash is damaged"),
        "{said}"
    );
    assert_eq!(directory.contents(), before);

    let corrupt = Directory::with("a:1\nnonsense\n");
    for arguments in [
        &["f", "b"][..],
        &["-D", "f", "a"],
        &["-U", "f"],
        &["--verify", "f", "a"],
    ] {
        let (code, said) = run(&corrupt, arguments, "x\n");
        assert_eq!(code, 1);
        let expected = "mqtt passwd: f: line 2 is neither `user:password` nor a comment\n";
        assert_eq!(said, expected, "{arguments:?}");
    }
    assert_eq!(corrupt.contents().unwrap(), "a:1\nnonsense\n");
}

#[test]
fn one_action_at_a_time() {
    let directory = Directory::with("a:1\n");
    for arguments in [
        &["-c", "-D", "f", "a"][..],
        &["-U", "f", "a"],
        &["--verify", "-U", "f"],
        &["--verify", "--hash", "argon2id", "f", "a"],
        &["f"],
        &["-D", "f"],
    ] {
        let (code, said) = run(&directory, arguments, "x\n");
        assert_eq!(code, 1, "{arguments:?}");
        assert!(said.contains("Usage: mqtt passwd"), "{arguments:?}: {said}");
    }
    let (code, said) = run(&directory, &["-I", "0", "f", "a"], "x\n");
    assert_eq!((code, said.contains("--iterations")), (1, true), "{said}");
    assert_eq!(directory.contents().unwrap(), "a:1\n");
}
