//! The disk that can lose power, tried with a program whose every step is known.

use std::fs;
use std::process::Command;

use fastrand::Rng;

use crate::journal::Event;
use crate::power::{Disk, Failure, Unsynced};

/// What a shell does to the directory, and what is left of it without power.
struct Case {
    script: &'static str,
    /// Names and contents.
    left: &'static [&'static str],
}

/// Each case starts with a file `old` that has content "old" and is durable. `sync FILE` is fsync,
/// `sync -d FILE` fdatasync, and `dd conv=notrunc` writes without O_TRUNC.
const CASES: [Case; 13] = [
    Case {
        script: "printf new > file",
        left: &["old: old"],
    },
    Case {
        script: "printf new > file; sync file; printf more >> file",
        left: &["file: new", "old: old"],
    },
    Case {
        script: "printf new > file; sync -d file; printf more >> file; sync -d file",
        left: &["file: newmore", "old: old"],
    },
    Case {
        script: "printf new > file; sync .",
        left: &["file: ", "old: old"],
    },
    Case {
        script: "printf NEW > old",
        left: &["old: old"],
    },
    Case {
        script: "printf NEW > old; sync old",
        left: &["old: NEW"],
    },
    Case {
        script: "printf XY | dd of=old bs=1 seek=1 conv=notrunc 2>/dev/null; printf more >> old",
        left: &["old: old"],
    },
    Case {
        script: "printf X | dd of=old bs=1 conv=notrunc,fsync 2>/dev/null; \
                 printf Y | dd of=old bs=1 conv=notrunc 2>/dev/null",
        left: &["old: Xld"],
    },
    Case {
        script: "rm old; printf new > file; sync file",
        left: &["file: new", "old: old"],
    },
    Case {
        script: "rm old; sync .",
        left: &[],
    },
    Case {
        script: "printf new > file; sync file; mv file old",
        left: &["file: new", "old: old"],
    },
    Case {
        script: "printf new > file; sync file; mv file old; sync .",
        left: &["old: new"],
    },
    Case {
        script: "mkdir below; printf new > below/file; sync below/file; sync .; mkdir lost",
        left: &["below/file: new", "old: old"],
    },
];

#[test]
fn only_what_was_synced_is_left() {
    for Case { script, left } in &CASES {
        let mut disk = Disk::new();
        fs::write(disk.data().join("old"), "old").unwrap();
        run(&mut disk, script);
        disk.lose_power(Unsynced::Lost, &mut Rng::with_seed(1));
        assert_eq!(contents(&disk), *left, "{script}");
    }
}

/// A disk writes also what nobody has asked it to: any part of it may be there, but never less than
/// what was synced.
#[test]
fn of_the_rest_any_part_may_be_left() {
    let mut disk = Disk::new();
    let mut random = Rng::with_seed(2);
    let mut seen = Vec::new();
    for _ in 0..60 {
        run(&mut disk, "printf 1 > file; sync file; printf 23 >> file");
        disk.lose_power(Unsynced::Torn, &mut random);
        seen.extend(contents(&disk));
        run(&mut disk, "rm file; sync .");
        disk.lose_power(Unsynced::Lost, &mut random);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["file: 1", "file: 12", "file: 123"]);
}

#[test]
fn a_call_on_a_log_fails_once() {
    let mut disk = Disk::new();
    let mut shell = shell(
        &disk,
        "printf a > 1.log; sync -d 1.log; sync -d 1.log; sync -d 1.log",
    );
    let failure = Failure {
        call: "fdatasync",
        number: 2,
        errno: 5,
    };
    disk.watch_and_fail(&mut shell, failure);
    // Each `sync` is a process of its own, and counts for itself.
    assert!(shell.status().unwrap().success());
    let failure = Failure {
        number: 1,
        ..failure
    };
    let mut shell = self::shell(&disk, "printf abc > 2.log; sync -d 2.log");
    disk.watch_and_fail(&mut shell, failure);
    assert!(!shell.status().unwrap().success());
    let failed = Event::Failed {
        call: "fdatasync".to_owned(),
    };
    assert!(disk.events().contains(&failed));
    disk.lose_power(Unsynced::Lost, &mut Rng::with_seed(3));
    assert_eq!(contents(&disk), ["1.log: a"]);
}

fn run(disk: &mut Disk, script: &str) {
    let mut shell = shell(disk, script);
    disk.watch(&mut shell);
    assert!(shell.status().unwrap().success(), "{script}");
}

fn shell(disk: &Disk, script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(disk.data());
    shell
}

/// The files of the disk with their contents.
fn contents(disk: &Disk) -> Vec<String> {
    let mut contents = Vec::new();
    let mut directories = vec![disk.data()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(disk.data()).unwrap();
                let content = fs::read_to_string(&path).unwrap();
                contents.push(format!("{}: {content}", name.display()));
            }
        }
    }
    contents.sort();
    contents
}
