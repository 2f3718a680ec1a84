//! A broker of Mosquitto's that reads our password file, and our verification of what theirs wrote.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::directory::Directory;
use crate::{Program, mosquitto_is_there, text};

/// A broker that lets in who is in the password file `f` of a directory.
struct Mosquitto {
    child: Child,
    port: u16,
}

impl Mosquitto {
    /// `None` if it is not installed.
    fn start(directory: &Path) -> Option<Self> {
        if !Path::new("/usr/sbin/mosquitto").exists() {
            println!("SKIPPED: mosquitto is not installed (Debian: apt-get install mosquitto)");
            return None;
        }
        // Another program may take the port before the broker does.
        (0..5)
            .find_map(|_| Self::try_start(directory))
            .or_else(|| panic!("mosquitto does not start"))
    }

    fn try_start(directory: &Path) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let file = directory.join("f");
        let configuration = format!(
            "listener {port} 127.0.0.1\npassword_file {}\nuser root\nallow_anonymous false\n",
            file.display()
        );
        let path = directory.join("mosquitto.conf");
        fs::write(&path, configuration).unwrap();
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(path);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut broker = Self {
            child: command.spawn().unwrap(),
            port,
        };
        for _ in 0..1000 {
            if broker.child.try_wait().unwrap().is_some() {
                return None;
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(broker);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// The return code of a CONNECT of MQTT 3.1.1 with a user name and a password.
    fn return_code(&self, user: &str, password: &str) -> u8 {
        let field = |text: &str| {
            let length = u16::try_from(text.len()).unwrap().to_be_bytes();
            [&length, text.as_bytes()].concat()
        };
        let body = [
            &field("MQTT")[..],
            // The level; user name, password, Clean Session; the keep alive time.
            &[4, 0xC2, 0, 60],
            &field("t"),
            &field(user),
            &field(password),
        ]
        .concat();
        let length = u8::try_from(body.len()).unwrap();
        assert!(length < 128);
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
            .write_all(&[&[0x10, length], &body[..]].concat())
            .unwrap();
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).unwrap();
        assert_eq!(connack[..3], [0x20, 2, 0]);
        connack[3]
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn mosquitto_lets_in_whom_we_have_written() {
    let directory = Directory::new();
    let run = |program: Program, arguments: &[&str], input: &str| {
        let output = program.run(&directory.0, arguments, input.as_bytes());
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    };
    run(
        Program::StandIn,
        &["-c", "-b", "f", "default", "pässword"],
        "",
    );
    run(
        Program::StandIn,
        &["-H", "sha512", "-b", "f", "sha512", "p:$7$"],
        "",
    );
    run(
        Program::StandIn,
        &["f", "typed one"],
        "with blanks \nwith blanks \n",
    );
    run(Program::StandIn, &["-b", "f", "gone", "p"], "");
    run(Program::StandIn, &["-b", "f", "changed", "old"], "");
    run(Program::StandIn, &["-b", "f", "changed", "new"], "");
    run(Program::StandIn, &["-D", "f", "gone"], "");
    let native = ["--hash", "sha512-pbkdf2", "f", "ünative"];
    run(Program::Native, &native, "n\n");
    let plain = directory.contents().unwrap() + "\n# a comment: of ours\nplain:text\n";
    fs::write(directory.0.join("f"), plain).unwrap();
    run(Program::Native, &["-U", "-H", "sha512-pbkdf2", "f"], "");
    let Some(broker) = Mosquitto::start(&directory.0) else {
        return;
    };
    for (user, password) in [
        ("default", "pässword"),
        ("sha512", "p:$7$"),
        ("typed one", "with blanks "),
        ("changed", "new"),
        ("ünative", "n"),
        ("plain", "text"),
    ] {
        assert_eq!(broker.return_code(user, password), 0, "{user}");
        assert_eq!(broker.return_code(user, "wrong"), 5, "{user}");
        assert_eq!(broker.return_code(user, ""), 5, "{user}");
    }
    assert_eq!(broker.return_code("gone", "p"), 5);
    assert_eq!(broker.return_code("changed", "old"), 5);
}

#[test]
fn we_verify_what_mosquitto_has_written() {
    if !mosquitto_is_there() {
        return;
    }
    let directory = Directory::new();
    let lines: &[&[&str]] = &[
        &["-c", "-b", "f", "default", "pässword"],
        &["-H", "sha512", "-b", "f", "sha512", "p:$7$"],
        &["-I", "1", "-b", "f", "one", "x"],
        &["-I", "5000", "-b", "f", "many", ""],
    ];
    for line in lines {
        assert!(
            Program::Mosquitto
                .run(&directory.0, line, b"")
                .status
                .success()
        );
    }
    let code = |user: &str, password: &str| {
        let arguments = ["--verify", "f", user];
        let input = format!("{password}\n");
        let output = Program::Native.run(&directory.0, &arguments, input.as_bytes());
        output.status.code().unwrap()
    };
    assert_eq!(code("default", "pässword"), 0);
    assert_eq!(code("sha512", "p:$7$"), 0);
    assert_eq!(code("one", "x"), 0);
    for user in ["default", "sha512", "one", "many", "nobody"] {
        assert_eq!(code(user, "wrong"), 4, "{user}");
    }
}
