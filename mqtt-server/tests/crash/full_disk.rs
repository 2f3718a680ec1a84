//! A file system that is full.
//!
//! It is a small one of its own, in a mount namespace that only this test sees: the test starts
//! itself a second time in there.

use std::env;
use std::path::Path;
use std::process::Command;

use rustix::process::getuid;

use crate::flood::{self, Away};
use crate::rounds::command;
use crate::server::{Directory, Server};

/// Says that this process is the one in the namespace, and where it may mount.
const INSIDE: &str = "CRASH_FULL_DISK";
/// The size of the file system, before and after.
const SIZES: [&str; 2] = ["24m", "128m"];

#[test]
fn a_full_disk_loses_nothing() {
    if let Some(directory) = env::var_os(INSIDE) {
        return inside(Path::new(&directory));
    }
    // Made out here, where it can be removed whatever is mounted on it in there.
    let directory = Directory::new();
    let mut probe = unshare();
    probe
        .args(["mount", "-t", "tmpfs", "tmpfs"])
        .arg(directory.path(""));
    let probed = probe.output();
    let permitted = probed.as_ref().is_ok_and(|output| output.status.success());
    if !permitted {
        let why = probed.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        println!("skipped: no file system can be mounted here: {why:?}");
        return;
    }
    let mut inside = unshare();
    inside.arg(env::current_exe().expect("it runs"));
    inside.args([
        "--exact",
        "full_disk::a_full_disk_loses_nothing",
        "--nocapture",
    ]);
    let status = inside
        .env(INSIDE, directory.path(""))
        .status()
        .expect("it was there just now");
    assert!(status.success());
}

/// A command that runs what is put behind it in a mount namespace of its own.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !getuid().is_root() {
        command.arg("--map-root-user");
    }
    command
}

fn inside(data: &Path) {
    mount(
        &["-t", "tmpfs", "-o", &format!("size={}", SIZES[0]), "tmpfs"],
        data,
    );
    let mut server = Server::run(command(data, "disk"), 1);
    let away = Away::new(&server);
    let acknowledged = flood::publish(&server, 32, |number| {
        format!("{number} {}", "x".repeat(1024 + number * 7 % 3072))
    });
    println!("{} messages acknowledged", acknowledged.len());
    assert!(acknowledged.len() > 1000);
    flood::ends_with(&mut server, "No space left on device");

    mount(&["-o", &format!("remount,size={}", SIZES[1])], data);
    let server = Server::run(command(data, "disk"), 1);
    away.check(&server, acknowledged);
}

fn mount(arguments: &[&str], directory: &Path) {
    let mut mount = Command::new("mount");
    let status = mount.args(arguments).arg(directory).status();
    assert!(status.expect("there is a mount").success(), "{arguments:?}");
}
