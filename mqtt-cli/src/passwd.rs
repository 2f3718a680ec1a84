//! `mqtt passwd`: the password file of a broker, in Mosquitto's format.
//!
//! The letters are those of Mosquitto's program, which [`run_as_mosquitto`] is. What differs here:
//! Argon2id is the default, an existing file is not overwritten, hashes are not hashed again, no
//! password is taken from the arguments, and one can be checked.

mod file;
mod hash;
mod mosquitto;
pub(crate) mod prompt;
mod replace;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use self::file::{CorruptLine, PasswordFile, Removal};
use self::hash::{HashError, PasswordHash, Scheme};
pub(crate) use self::mosquitto::run as run_as_mosquitto;
use self::prompt::{PromptError, Purpose};
use self::replace::{Creation, EditError, Placement};

/// What `--verify` exits with for a wrong password, or a user that is not there: the return code of
/// an MQTT 3.1.1 broker for it.
const BAD_USER_NAME_OR_PASSWORD: u8 = 4;

/// What Mosquitto 2.1 takes for PBKDF2.
const ITERATIONS: &str = "1000";

const HELP: &str = "\
The password is typed, twice for a new one, or is the first line of standard input:

    mqtt passwd -c /etc/mosquitto/passwd anna          a new file, with one user
    pass show mqtt/bert | mqtt passwd /etc/mosquitto/passwd bert
    mqtt passwd --verify /etc/mosquitto/passwd anna && echo right

Mosquitto 2.1 and later reads all hashes; for Mosquitto 2.0 take --hash sha512-pbkdf2.
A broker reads its password file when it is told to: Mosquitto on SIGHUP.

Exit codes: 0 done, or the password is right; 4 it is wrong, or there is no such user; 1 all else.
Called as `mosquitto_passwd`, this is a stand-in for that program.";

/// The arguments of `mqtt passwd`.
#[derive(Debug, Args)]
#[command(
    about = "Add, change, remove and verify the users of a password file",
    override_usage = "mqtt passwd [-c] [-H HASH] FILE USER\n       mqtt passwd -D FILE USER\n       mqtt passwd --verify FILE USER\n       mqtt passwd -U [-H HASH] FILE",
    after_help = HELP,
    after_long_help = HELP,
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag; clap sees to it that at most one of the actions is there"
)]
pub(crate) struct Arguments {
    /// The password file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The user to add, change, remove or verify
    #[arg(value_name = "USER", required_unless_present = "hash_plain")]
    user: Option<OsString>,
    #[arg(hide = true)]
    password: Option<OsString>,
    /// Create the file, which must not be there
    #[arg(short, long, group = "action")]
    create: bool,
    /// Remove the user
    #[arg(short = 'D', long, group = "action")]
    delete: bool,
    /// Hash all passwords of the file that are plain text; hashes stay as they are
    #[arg(short = 'U', long, group = "action", conflicts_with = "user")]
    hash_plain: bool,
    /// Check a password against the file, and say by the exit code whether it is right
    #[arg(long, group = "action", conflicts_with_all = ["hash", "iterations"])]
    verify: bool,
    /// How passwords are hashed
    #[arg(
        short = 'H',
        long,
        value_enum,
        default_value_t,
        conflicts_with = "delete"
    )]
    hash: Hash,
    /// The work of sha512-pbkdf2: a broker does it at each connection
    #[arg(short = 'I', long, value_name = "NUMBER", default_value = ITERATIONS)]
    iterations: NonZeroU32,
    /// Write into the file itself, where it cannot be replaced: a file that is mounted into a container
    #[arg(long, conflicts_with_all = ["create", "verify"])]
    in_place: bool,
    #[arg(short, hide = true)]
    batch: bool,
}

/// How a password is hashed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Hash {
    /// Argon2id with 46 MiB: Mosquitto 2.1 and later
    #[default]
    Argon2id,
    /// PBKDF2 with HMAC-SHA-512: Mosquitto 2.0, too
    Sha512Pbkdf2,
}

/// Why `mqtt passwd` does not succeed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "a password among the arguments can be seen by all users of this machine: type it, or give it on standard input"
    )]
    PasswordInArguments,
    #[error("the user name {0}")]
    UserName(&'static str),
    #[error("{0}")]
    Prompt(#[from] PromptError),
    #[error("{}: {cause}", file.display())]
    File { file: PathBuf, cause: io::Error },
    #[error("{} is there already; without -c, users are added to it", .0.display())]
    Exists(PathBuf),
    #[error("{} is not there; -c creates it", .0.display())]
    Missing(PathBuf),
    #[error("{}: {error}", file.display())]
    Edit {
        file: PathBuf,
        error: EditError<Refusal>,
    },
    #[error("cannot hash the password: {0}")]
    Hash(#[from] HashError),
    #[error("{}, user {user}: {error}", file.display())]
    UnreadableHash {
        file: PathBuf,
        user: String,
        error: HashError,
    },
    #[error("{}: there is no user {user}", file.display())]
    NoSuchUser { file: PathBuf, user: String },
    #[error("the password is wrong")]
    WrongPassword,
}

/// Why a file is not changed.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("line {0} is neither `user:password` nor a comment")]
    CorruptLine(usize),
    #[error("there is no user {0}")]
    NoSuchUser(String),
    #[error("cannot hash a password: {0}")]
    Hash(#[from] HashError),
}

/// Does what `arguments` ask for.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to say it to if this fails.
            let _ = writeln!(io::stderr(), "mqtt passwd: {failure}");
            failure.exit_code()
        }
    }
}

impl Arguments {
    fn run(&self) -> Result<(), Failure> {
        if self.batch || self.password.is_some() {
            return Err(Failure::PasswordInArguments);
        }
        let Some(user) = &self.user else {
            return self.hash_plain();
        };
        check_user(user)?;
        if self.verify {
            self.verify(user)
        } else if self.delete {
            self.edit(|lines| match lines.remove(user.as_bytes()) {
                Removal::Done => Ok(()),
                Removal::NoSuchUser => Err(Refusal::NoSuchUser(name_of(user))),
            })
        } else if self.create {
            self.create(user)
        } else {
            self.check_file()?;
            let hash = self.scheme().hash(&prompt::read(Purpose::Choose)?)?;
            self.edit(|lines| {
                lines.set(user.as_bytes(), &hash);
                Ok(())
            })
        }
    }

    fn create(&self, user: &OsStr) -> Result<(), Failure> {
        // Before the password is typed for nothing.
        if self.file.exists() {
            return Err(Failure::Exists(self.file.clone()));
        }
        let hash = self.scheme().hash(&prompt::read(Purpose::Choose)?)?;
        let contents = [user.as_bytes(), b":", hash.as_bytes(), b"\n"].concat();
        match replace::create(&self.file, &contents, Creation::New) {
            Ok(()) => Ok(()),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                Err(Failure::Exists(self.file.clone()))
            }
            Err(cause) => Err(file_failure(&self.file, cause)),
        }
    }

    fn verify(&self, user: &OsStr) -> Result<(), Failure> {
        let file = &self.file;
        let bytes = std::fs::read(file).map_err(|cause| file_failure(file, cause))?;
        let lines = PasswordFile::parse(&bytes).map_err(|corrupt| Failure::Edit {
            file: file.clone(),
            error: EditError::Change(corrupt.into()),
        })?;
        let Some(hash) = lines.password_of(user.as_bytes()) else {
            return Err(Failure::NoSuchUser {
                file: file.clone(),
                user: name_of(user),
            });
        };
        let unreadable = |error| Failure::UnreadableHash {
            file: file.clone(),
            user: name_of(user),
            error,
        };
        let hash = PasswordHash::parse(hash).map_err(unreadable)?;
        if hash
            .is_of(&prompt::read(Purpose::Enter)?)
            .map_err(unreadable)?
        {
            Ok(())
        } else {
            Err(Failure::WrongPassword)
        }
    }

    fn hash_plain(&self) -> Result<(), Failure> {
        let mut hashed = 0;
        self.edit(|lines| {
            // What begins like a hash and is damaged must not become the hash of that.
            hashed = lines.hash_plain(self.scheme(), |password| !password.starts_with(b"$"))?;
            Ok(())
        })?;
        let _ = writeln!(io::stderr(), "passwords hashed: {hashed}");
        Ok(())
    }

    fn check_file(&self) -> Result<(), Failure> {
        replace::check(&self.file).map_err(|cause| file_failure(&self.file, cause))
    }

    fn edit(
        &self,
        mut change: impl FnMut(&mut PasswordFile) -> Result<(), Refusal>,
    ) -> Result<(), Failure> {
        self.check_file()?;
        let placement = if self.in_place {
            Placement::InPlace
        } else {
            Placement::Replace
        };
        let edited = replace::edit(&self.file, placement, |bytes| {
            let mut lines = PasswordFile::parse(bytes)?;
            change(&mut lines)?;
            Ok(lines.into_bytes())
        });
        edited.map_err(|error| Failure::Edit {
            file: self.file.clone(),
            error,
        })
    }

    fn scheme(&self) -> Scheme {
        match self.hash {
            Hash::Argon2id => Scheme::Argon2id,
            Hash::Sha512Pbkdf2 => Scheme::Pbkdf2 {
                iterations: self.iterations,
            },
        }
    }
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::WrongPassword
            | Self::NoSuchUser { .. }
            | Self::Edit {
                error: EditError::Change(Refusal::NoSuchUser(_)),
                ..
            } => ExitCode::from(BAD_USER_NAME_OR_PASSWORD),
            Self::Prompt(error) => error.exit_code(),
            Self::PasswordInArguments
            | Self::UserName(_)
            | Self::File { .. }
            | Self::Exists(_)
            | Self::Missing(_)
            | Self::Edit { .. }
            | Self::Hash(_)
            | Self::UnreadableHash { .. } => ExitCode::FAILURE,
        }
    }
}

impl From<CorruptLine> for Refusal {
    fn from(CorruptLine(line): CorruptLine) -> Self {
        Self::CorruptLine(line)
    }
}

/// What no line of a file can hold, or no client can send.
fn check_user(user: &OsStr) -> Result<(), Failure> {
    let bytes = user.as_bytes();
    let Some(text) = user.to_str() else {
        return Err(Failure::UserName("is not UTF-8, and no client can send it"));
    };
    if text.is_empty() {
        Err(Failure::UserName("is empty"))
    } else if bytes.len() > 65_535 {
        Err(Failure::UserName("is longer than 65,535 bytes"))
    } else if bytes.contains(&b':') {
        Err(Failure::UserName(
            "contains ':', where the password begins in the file",
        ))
    } else if text.contains(char::is_control) {
        Err(Failure::UserName("contains a control character"))
    } else if bytes.starts_with(b"#") {
        Err(Failure::UserName(
            "begins with '#', as a comment in the file does",
        ))
    } else if bytes.trim_ascii() != bytes {
        Err(Failure::UserName(
            "begins or ends with a blank, which a broker would cut off",
        ))
    } else {
        Ok(())
    }
}

fn file_failure(file: &Path, cause: io::Error) -> Failure {
    let file = file.to_owned();
    // Of a file that is to be created, it is the directory that is missing.
    if cause.kind() == io::ErrorKind::NotFound && replace::directory_of(&file).is_dir() {
        Failure::Missing(file)
    } else {
        Failure::File { file, cause }
    }
}

fn name_of(user: &OsStr) -> String {
    user.display().to_string()
}
