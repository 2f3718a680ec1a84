//! `mosquitto_passwd` of Mosquitto 2.0.11: its command line, its prompts, its messages, its exit codes.
//!
//! It differs where that program loses what it was given, or hangs:
//!
//! * Comments and empty lines stay. There, the first of them ends the file: all behind it is gone.
//! * A line that is no entry is an error that changes nothing. There, it ends the file, with exit code 0.
//! * A last line without an end gets one. There, the new entry is appended to it, which breaks both.
//! * An empty user name is refused. There, its entry makes the file unreadable for the next call.
//! * `-U` of an empty file is no error.
//! * Files are replaced, or written into where that is not possible. There, always the latter, with a
//!   copy under a fixed name. Nothing is ever left under that name.
//! * Ctrl-C at the prompt exits with 130, not with 0.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::file::{CorruptLine, PasswordFile, Removal};
use super::hash::{HashError, Scheme};
use super::prompt::{self, PASSWORD_BYTES_MAX, PromptError};
use super::replace::{self, Creation, EditError, Placement};

/// What Mosquitto 2.0 takes for PBKDF2.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(101).unwrap();
/// In bytes; longer ones have no place in a CONNECT.
const USER_BYTES_MAX: usize = 65_535;

const USAGE: &str = "\
mosquitto_passwd is a tool for managing password files for mosquitto.

Usage: mosquitto_passwd [-H sha512 | -H sha512-pbkdf2] [-c | -D] passwordfile username
       mosquitto_passwd [-H sha512 | -H sha512-pbkdf2] [-c] -b passwordfile username password
       mosquitto_passwd -U passwordfile
 -b : run in batch mode to allow passing passwords on the command line.
 -c : create a new password file. This will overwrite existing files.
 -D : delete the username rather than adding/updating its password.
 -H : specify the hashing algorithm. Defaults to sha512-pbkdf2, which is recommended.
      Mosquitto 1.6 and earlier defaulted to sha512.
 -U : update a plain text password file to use hashed passwords.

See https://mosquitto.org/ for more information.

";

/// Does what `arguments` ask for; the name of the program is not among them.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    match Call::parse(arguments).and_then(|call| call.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to say it to if this fails.
            let _ = if matches!(failure, Failure::Usage) {
                write!(io::stdout(), "{failure}")
            } else {
                write!(io::stderr(), "{failure}")
            };
            failure.exit_code()
        }
    }
}

/// A command line.
#[derive(Debug, PartialEq, Eq)]
struct Call<'a> {
    scheme: Scheme,
    action: Action<'a>,
}

#[derive(Debug, PartialEq, Eq)]
enum Action<'a> {
    Create(Entry<'a>),
    Set(Entry<'a>),
    Delete { file: &'a Path, user: &'a OsStr },
    HashPlain { file: &'a Path },
}

#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    file: &'a Path,
    user: &'a OsStr,
    /// `None`: it is asked for.
    password: Option<&'a OsStr>,
}

/// Why it does not succeed.
#[derive(Debug)]
enum Failure {
    /// The command line is not understood.
    Usage,
    Message(String),
    CorruptLine(usize),
    NoSuchUser(Vec<u8>),
    Hash(HashError),
    Prompt(PromptError),
    Update {
        file: PathBuf,
        cause: String,
    },
}

impl<'a> Call<'a> {
    fn parse(arguments: &'a [OsString]) -> Result<Self, Failure> {
        let mut letters = Vec::new();
        let mut is_sha512 = false;
        let mut iterations = ITERATIONS;
        let mut rest = arguments;
        while let [flag, behind @ ..] = rest {
            rest = behind;
            match flag.as_bytes() {
                [b'-', letter @ (b'b' | b'c' | b'D' | b'U')] => letters.push(char::from(*letter)),
                b"-H" => {
                    let (name, behind) = value("-H", behind)?;
                    is_sha512 = is_sha512_named(name)?;
                    rest = behind;
                }
                b"-I" => {
                    let (number, behind) = value("-I", behind)?;
                    iterations = iterations_of(number)?;
                    rest = behind;
                }
                _ => {
                    rest = arguments
                        .get(arguments.len() - behind.len() - 1..)
                        .unwrap_or(&[]);
                    break;
                }
            }
        }
        let has = |letter| letters.contains(&letter);
        for (one, other) in [('c', 'D'), ('c', 'U'), ('D', 'U'), ('b', 'D')] {
            if has(one) && has(other) {
                return message(format!("-{one} and -{other} cannot be used together."));
            }
        }
        let action = Action::parse(&letters, rest)?;
        action.check()?;
        let scheme = if is_sha512 {
            Scheme::Sha512
        } else {
            Scheme::Pbkdf2 { iterations }
        };
        Ok(Self { scheme, action })
    }

    fn run(&self) -> Result<(), Failure> {
        match &self.action {
            Action::Create(entry) => {
                let hash = self.scheme.hash(&entry.password()?)?;
                let contents = [entry.user.as_bytes(), b":", hash.as_bytes(), b"\n"].concat();
                replace::create(entry.file, &contents, Creation::Overwrite).or_else(|cause| {
                    let (file, cause) = (shown(entry.file), reason(&cause));
                    message(format!("Unable to open file {file} for writing. {cause}."))
                })
            }
            Action::Set(entry) => {
                check(entry.file)?;
                let hash = self.scheme.hash(&entry.password()?)?;
                change(entry.file, |lines| {
                    lines.set(entry.user.as_bytes(), &hash);
                    Ok(())
                })
            }
            Action::Delete { file, user } => {
                change(file, |lines| match lines.remove(user.as_bytes()) {
                    Removal::Done => Ok(()),
                    Removal::NoSuchUser => Err(Failure::NoSuchUser(user.as_bytes().to_vec())),
                })
            }
            Action::HashPlain { file } => change(file, |lines| {
                // Also what is a hash already: this program never looks.
                lines.hash_plain(self.scheme, |_| true)?;
                Ok(())
            }),
        }
    }
}

/// The argument behind a flag, and those behind that.
fn value<'a>(
    flag: &str,
    arguments: &'a [OsString],
) -> Result<(&'a OsStr, &'a [OsString]), Failure> {
    match arguments {
        [value, behind @ ..] => Ok((value, behind)),
        [] => message(format!(
            "{flag} argument given but not enough other arguments."
        )),
    }
}

fn is_sha512_named(name: &OsStr) -> Result<bool, Failure> {
    match name.as_bytes() {
        b"sha512" => Ok(true),
        b"sha512-pbkdf2" => Ok(false),
        _ => message(format!("Unknown hash type '{}'", name.display())),
    }
}

/// As C's `atoi` reads a number: as far as it is one.
fn iterations_of(text: &OsStr) -> Result<NonZeroU32, Failure> {
    let text = text.to_string_lossy();
    let text = text.trim_start();
    let digits = text.strip_prefix('+').unwrap_or(text);
    let end = digits.find(|letter: char| !letter.is_ascii_digit());
    let number = digits
        .get(..end.unwrap_or(digits.len()))
        .unwrap_or_default();
    match number
        .parse()
        .ok()
        .filter(|number: &NonZeroU32| i32::try_from(number.get()).is_ok())
    {
        Some(iterations) => Ok(iterations),
        None => message("Number of iterations must be > 0.".to_owned()),
    }
}

impl<'a> Action<'a> {
    fn parse(letters: &[char], rest: &'a [OsString]) -> Result<Self, Failure> {
        let has = |letter| letters.contains(&letter);
        let missing = |what| message(format!("{what} missing."));
        if has('c') {
            return match rest {
                [file, user, password, ..] if has('b') => {
                    Ok(Self::Create(Entry::new(file, user, Some(password))))
                }
                [..] if has('b') => {
                    missing("-c argument given but password file, username, or password")
                }
                [file, user, ..] => Ok(Self::Create(Entry::new(file, user, None))),
                [..] => missing("-c argument given but password file or username"),
            };
        }
        if has('D') {
            return match rest {
                [file, user, ..] => Ok(Self::Delete {
                    file: Path::new(file),
                    user,
                }),
                [..] => missing("-D argument given but password file or username"),
            };
        }
        if has('U') {
            return match rest {
                [file] => Ok(Self::HashPlain {
                    file: Path::new(file),
                }),
                [..] => missing("-U argument given but password file"),
            };
        }
        match rest {
            [file, user, password] if has('b') => {
                Ok(Self::Set(Entry::new(file, user, Some(password))))
            }
            [file, user] if !has('b') => Ok(Self::Set(Entry::new(file, user, None))),
            [..] => Err(Failure::Usage),
        }
    }

    fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Create(entry) | Self::Set(entry) => {
                if entry.user.is_empty() {
                    return message("Username must not be empty.".to_owned());
                }
                check_user(entry.user)?;
                if entry
                    .password
                    .is_some_and(|password| password.len() > PASSWORD_BYTES_MAX)
                {
                    return Err(Failure::Prompt(PromptError::TooLong));
                }
                Ok(())
            }
            Self::Delete { user, .. } => check_user(user),
            Self::HashPlain { .. } => Ok(()),
        }
    }
}

fn check_user(user: &OsStr) -> Result<(), Failure> {
    let user = user.as_bytes();
    if user.len() > USER_BYTES_MAX {
        return message("Username must be less than 65536 characters long.".to_owned());
    }
    if user.iter().any(u8::is_ascii_control) {
        return message("Username must not contain control characters.".to_owned());
    }
    if user.contains(&b':') {
        return message("Username must not contain the ':' character.".to_owned());
    }
    Ok(())
}

impl<'a> Entry<'a> {
    fn new(file: &'a OsStr, user: &'a OsStr, password: Option<&'a OsString>) -> Self {
        let (file, password) = (Path::new(file), password.map(OsString::as_os_str));
        Self {
            file,
            user,
            password,
        }
    }

    /// What is among the arguments, or else what is typed, twice, terminal or not.
    fn password(&self) -> Result<Vec<u8>, Failure> {
        if let Some(password) = self.password {
            return Ok(password.as_bytes().to_vec());
        }
        let password = ask(b"Password: ")?;
        if ask(b"Reenter password: ")? == password {
            Ok(password)
        } else {
            Err(Failure::Prompt(PromptError::Mismatch))
        }
    }
}

fn ask(prompt: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut out = io::stdout();
    let password = prompt::read_hidden(prompt, &mut out)?;
    if password.is_empty() {
        return Err(Failure::Prompt(PromptError::Empty));
    }
    out.write_all(b"\n").map_err(PromptError::Io)?;
    Ok(password)
}

fn check(file: &Path) -> Result<(), Failure> {
    replace::check(file).map_err(|cause| unopened(file, &cause))
}

fn change(
    file: &Path,
    mut change: impl FnMut(&mut PasswordFile) -> Result<(), Failure>,
) -> Result<(), Failure> {
    check(file)?;
    let edited = replace::edit(file, Placement::ReplaceIfPossible, |bytes| {
        let mut lines = PasswordFile::parse(bytes)?;
        change(&mut lines)?;
        Ok(lines.into_bytes())
    });
    edited.map_err(|error| match error {
        EditError::Change(failure) => failure,
        EditError::Open(cause) => unopened(file, &cause),
        EditError::Read(_) | EditError::Replace(_) | EditError::Write(_) | EditError::Busy => {
            let (file, cause) = (file.to_owned(), error.to_string());
            Failure::Update { file, cause }
        }
    })
}

fn unopened(file: &Path, cause: &io::Error) -> Failure {
    let (file, cause) = (shown(file), reason(cause));
    Failure::Message(format!("Unable to open password file {file}. {cause}."))
}

/// A path as Mosquitto's program shows it: without detours, if it is there.
fn shown(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

/// What C says about an error, which leaves out its number.
fn reason(cause: &io::Error) -> String {
    let text = cause.to_string();
    match text.split_once(" (os error") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}

fn message<T>(text: String) -> Result<T, Failure> {
    Err(Failure::Message(text))
}

impl From<CorruptLine> for Failure {
    fn from(CorruptLine(line): CorruptLine) -> Self {
        Self::CorruptLine(line)
    }
}

impl From<HashError> for Failure {
    fn from(error: HashError) -> Self {
        Self::Hash(error)
    }
}

impl From<PromptError> for Failure {
    fn from(error: PromptError) -> Self {
        Self::Prompt(error)
    }
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Prompt(PromptError::Mismatch) => ExitCode::from(2),
            Self::Prompt(error) => error.exit_code(),
            Self::Usage
            | Self::Message(_)
            | Self::CorruptLine(_)
            | Self::NoSuchUser(_)
            | Self::Hash(_)
            | Self::Update { .. } => ExitCode::FAILURE,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage => f.write_str(USAGE),
            Self::Message(text) => writeln!(f, "Error: {text}"),
            Self::CorruptLine(line) => writeln!(f, "Error: Corrupt password file at line {line}."),
            Self::NoSuchUser(user) => {
                let user = OsStr::from_bytes(user).display();
                writeln!(f, "Warning: User {user} not found in password file.")
            }
            Self::Hash(cause) => writeln!(f, "Error: Unable to hash password: {cause}."),
            Self::Prompt(PromptError::Empty) => writeln!(f, "Error: Empty password."),
            Self::Prompt(PromptError::Mismatch) => writeln!(f, "Error: Passwords do not match."),
            Self::Prompt(PromptError::TooLong) => {
                writeln!(
                    f,
                    "Error: Password must be less than 65536 characters long."
                )
            }
            Self::Prompt(PromptError::Io(cause)) => writeln!(f, "Error: {cause}."),
            // The terminal's cursor is behind the prompt.
            Self::Prompt(PromptError::Interrupted(_)) => writeln!(f),
            Self::Update { file, cause } => {
                let file = file.display();
                writeln!(f, "Error: Unable to update password file {file}: {cause}.")
            }
        }
    }
}
