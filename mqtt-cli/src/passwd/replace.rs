//! Changing a file so that it is whole at every moment, and that no change of others gets lost.
//!
//! The new contents are written to a file beside the old one, under a name that cannot be guessed,
//! with the old one's owner and permissions. It is synced and then takes the old one's place. A
//! symbolic link stays one: what it points to is replaced.
//!
//! Two that change a file this way wait for each other, by a lock on the file. What programs without
//! the lock change is noticed until the moment of the replacement, and the change made again on top.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// How often a change is made again because others have changed the file.
const ATTEMPTS_MAX: u32 = 100;
/// As many symbolic links as Linux follows.
const LINKS_MAX: u32 = 40;

/// How new contents get to their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// In a new file that takes the place of the old one.
    Replace,
    /// So, or if that is not possible, into the file itself.
    ReplaceIfPossible,
    /// Into the file itself. Interrupted, the file has neither the old nor the new contents.
    InPlace,
}

/// What a new file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Creation {
    /// Its owner's alone; there must be none yet.
    New,
    /// With the permissions that the umask leaves; one that is there is overwritten, and keeps its own.
    Overwrite,
}

/// A file was not changed. What was there is there still.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError<E> {
    #[error("cannot open it: {0}")]
    Open(io::Error),
    #[error("cannot read it: {0}")]
    Read(io::Error),
    #[error(
        "it cannot be replaced ({0}); --in-place writes into the file itself, which a crash could leave half written"
    )]
    Replace(io::Error),
    #[error("cannot write it: {0}")]
    Write(#[from] io::Error),
    #[error("others change it all the time")]
    Busy,
    /// The change itself says no.
    #[error("{0}")]
    Change(E),
}

/// Checks that the file at `path` is there, and may be changed.
///
/// # Errors
/// As opening it has them, and if it is no regular file.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    open(path).map(drop)
}

/// Gives what is in the file at `path` to `change`, and puts what it gives back at its place.
///
/// `change` is called again if the file has been changed by others meanwhile.
///
/// # Errors
/// [`EditError`]: the file is as it was, but for errors of writing in place.
pub(crate) fn edit<E>(
    path: &Path,
    placement: Placement,
    mut change: impl FnMut(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<(), EditError<E>> {
    let path = &target_of(path);
    for _ in 0..ATTEMPTS_MAX {
        let mut file = open(path).map_err(EditError::Open)?;
        // Some file systems have no locks. What happens without is noticed below, but for a moment.
        let _ = file.lock();
        let before = file.metadata().map_err(EditError::Open)?;
        if is_changed(&before, path) {
            continue;
        }
        let mut contents = Vec::new();
        file.read_to_end(&mut contents).map_err(EditError::Read)?;
        let new = change(&contents).map_err(EditError::Change)?;
        if new == contents {
            return Ok(());
        }
        if placement != Placement::InPlace {
            match replace(path, &before, &new) {
                Ok(Replaced::Yes) => return sync_directory(path).map_err(EditError::Write),
                Ok(Replaced::ChangedMeanwhile) => continue,
                Err(cause) if !is_hindrance(&cause) => return Err(EditError::Write(cause)),
                Err(cause) if placement == Placement::Replace => {
                    return Err(EditError::Replace(cause));
                }
                Err(_) => {}
            }
        }
        return overwrite(&mut file, &new).map_err(EditError::Write);
    }
    Err(EditError::Busy)
}

/// Makes a file at `path` that has `contents`.
///
/// # Errors
/// If it cannot be written; for [`Creation::New`] also if it is there.
pub(crate) fn create(path: &Path, contents: &[u8], creation: Creation) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(_) if creation == Creation::New => Err(ErrorKind::AlreadyExists.into()),
        Ok(existing) if existing.is_file() && !path.starts_with("/dev") => {
            let overwrite = |_: &[u8]| Ok::<_, std::convert::Infallible>(contents.to_vec());
            match edit(path, Placement::ReplaceIfPossible, overwrite) {
                Ok(()) => Ok(()),
                Err(
                    EditError::Open(cause)
                    | EditError::Read(cause)
                    | EditError::Replace(cause)
                    | EditError::Write(cause),
                ) => Err(cause),
                Err(EditError::Busy) => Err(ErrorKind::ResourceBusy.into()),
                Err(EditError::Change(never)) => match never {},
            }
        }
        // A terminal, a pipe, or /dev/stdout, where others go on writing.
        Ok(_) => OpenOptions::new()
            .write(true)
            .open(path)?
            .write_all(contents),
        Err(cause) if cause.kind() == ErrorKind::NotFound && path.file_name().is_some() => {
            let path = &target_of(path);
            let mode = match creation {
                Creation::New => 0o600,
                Creation::Overwrite => 0o666,
            };
            let temporary = Temporary::new(path, mode)?;
            temporary.fill(contents)?;
            // Unlike renaming, this never replaces what has come up meanwhile.
            fs::hard_link(&temporary.path, path)?;
            drop(temporary);
            sync_directory(path)
        }
        Err(cause) => Err(cause),
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("It is no regular file"))
    }
}

/// Where symbolic links lead from `path`, also if nothing is there.
fn target_of(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&target) {
            Ok(link) => target = directory_of(&target).join(link),
            Err(_) => break,
        }
    }
    target
}

/// Whether what is at `path` is another file than `before`, or has been written since.
fn is_changed(before: &Metadata, path: &Path) -> bool {
    let state = |metadata: &Metadata| {
        (
            (metadata.dev(), metadata.ino(), metadata.size()),
            (metadata.mtime(), metadata.mtime_nsec()),
        )
    };
    fs::metadata(path).map_or(true, |now| state(&now) != state(before))
}

fn overwrite(file: &mut File, contents: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(contents)?;
    file.set_len(contents.len() as u64)?;
    file.sync_all()
}

enum Replaced {
    Yes,
    ChangedMeanwhile,
}

fn replace(path: &Path, before: &Metadata, contents: &[u8]) -> io::Result<Replaced> {
    let temporary = Temporary::beside(path, before, contents)?;
    if is_changed(before, path) {
        return Ok(Replaced::ChangedMeanwhile);
    }
    // Nothing is there afterwards under the old name, so that dropping it removes nothing.
    fs::rename(&temporary.path, path)?;
    Ok(Replaced::Yes)
}

/// Whether this is in the way of replacing the file, but not of writing into it: the directory is not
/// ours, the file's owner cannot be kept, the file is mounted, or has several names. A full disk is in
/// the way of both.
fn is_hindrance(cause: &io::Error) -> bool {
    let kind = cause.kind();
    kind == ErrorKind::PermissionDenied
        || kind == ErrorKind::ReadOnlyFilesystem
        || kind == ErrorKind::ResourceBusy
        || kind == ErrorKind::CrossesDevices
        || kind == ErrorKind::TooManyLinks
}

/// So that the new name is there after a crash, too.
fn sync_directory(file: &Path) -> io::Result<()> {
    File::open(directory_of(file))?.sync_all()
}

pub(crate) fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// A new file, which is removed when it is dropped.
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    fn new(target: &Path, mode: u32) -> io::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let name = format!(".mqtt-passwd-{:032x}", u128::from_ne_bytes(random));
        let path = directory_of(target).join(name);
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)?;
        Ok(Self { file, path })
    }

    /// A file with `contents` that can take the place of the one at `target`.
    fn beside(target: &Path, replaced: &Metadata, contents: &[u8]) -> io::Result<Self> {
        if replaced.nlink() > 1 {
            let problem = "it has other names, hard links, which would keep the old contents";
            return Err(io::Error::new(ErrorKind::TooManyLinks, problem));
        }
        let temporary = Self::new(target, 0o600)?;
        let own = temporary.file.metadata()?;
        if (own.uid(), own.gid()) != (replaced.uid(), replaced.gid()) {
            fchown(&temporary.file, Some(replaced.uid()), Some(replaced.gid()))?;
        }
        temporary.file.set_permissions(replaced.permissions())?;
        temporary.fill(contents)?;
        Ok(temporary)
    }

    fn fill(&self, contents: &[u8]) -> io::Result<()> {
        (&self.file).write_all(contents)?;
        self.file.sync_all()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nothing more can be done about a file that stays.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
