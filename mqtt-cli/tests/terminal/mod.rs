//! A pseudo-terminal, and a program that runs on it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// A program whose three streams are a terminal.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    /// The side of the person.
    person: File,
    /// The side of the program, so that its modes can be asked for after the program has ended.
    program: File,
    screen: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    pub(crate) fn run(mut command: Command) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
        let mut options = OpenOptions::new();
        let noctty = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, noctty);
        let side = options.read(true).write(true).open(name).unwrap();
        let stream = || OwnedFd::from(side.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().unwrap();
        let person = File::from(person);
        let screen = Arc::new(Mutex::new(String::new()));
        let reader = std::thread::spawn({
            let (mut person, screen) = (person.try_clone().unwrap(), Arc::clone(&screen));
            move || {
                let mut bytes = [0; 256];
                // It fails when the last one has closed the other side.
                while let Ok(length @ 1..) = person.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                    screen.lock().unwrap().push_str(&text);
                }
            }
        });
        Self {
            child,
            person,
            program: side,
            screen,
            reader,
        }
    }

    fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    fn shows_what_is_typed(&self) -> bool {
        let modes = tcgetattr(&self.program).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    }

    /// Waits until the screen ends with `prompt`.
    pub(crate) fn expect(&self, prompt: &str) {
        self.wait_until(prompt, || self.screen().ends_with(prompt));
    }

    /// Waits until the screen ends with `prompt` and what is typed is not shown.
    pub(crate) fn expect_hidden(&self, prompt: &str) {
        // Mosquitto's program prompts before it silences the terminal.
        self.wait_until(prompt, || {
            self.screen().ends_with(prompt) && !self.shows_what_is_typed()
        });
    }

    fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        for _ in 0..4000 {
            if condition() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("no {what:?}: {:?}", self.screen());
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        self.person
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// What is on the screen in the end.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        assert!(self.shows_what_is_typed(), "the terminal is left silent");
        drop(self.program);
        self.reader.join().unwrap();
        let screen = self.screen.lock().unwrap().clone();
        (status, screen)
    }
}
