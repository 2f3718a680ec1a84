//! Replacing a file: the old one stays whole until the new one is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is left of earlier replacements that were killed is passed over, up to this number.
const LEFT_OVER_MAX: u32 = 1000;

/// A file that takes the place of another when it is finished; dropped before, it is removed.
///
/// It can be read by its owner alone, unless it replaces a file with other permissions.
pub(crate) struct Replacement {
    out: BufWriter<File>,
    /// Where it is while it is written; `None` once it is at its place.
    temporary: Option<PathBuf>,
    target: PathBuf,
}

impl Replacement {
    /// An empty file beside `target`.
    ///
    /// # Errors
    /// If it cannot be made, or if `target` is there and is no file, such as a directory.
    pub(crate) fn begin(target: &Path) -> io::Result<Self> {
        let replaced = match fs::metadata(target) {
            Ok(replaced) if !replaced.is_file() => {
                return Err(io::Error::other("it is there, and it is no regular file"));
            }
            Ok(replaced) => Some(replaced),
            Err(cause) if cause.kind() == ErrorKind::NotFound => None,
            Err(cause) => return Err(cause),
        };
        let (file, temporary) = create_beside(target)?;
        let replacement = Self {
            out: BufWriter::new(file),
            temporary: Some(temporary),
            target: target.to_owned(),
        };
        if let Some(replaced) = replaced {
            replacement
                .out
                .get_ref()
                .set_permissions(replaced.permissions())?;
        }
        Ok(replacement)
    }

    /// Puts the file at its place. It survives a crash then.
    ///
    /// # Errors
    /// If it cannot be written: nothing has been replaced then. Or if the directory cannot be synced:
    /// then a crash may bring the old file back.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.target)?;
            self.temporary = None;
        }
        File::open(directory(&self.target))?.sync_all()
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nothing more can be done about a file that stays.
            let _ = fs::remove_file(temporary);
        }
    }
}

fn create_beside(target: &Path) -> io::Result<(File, PathBuf)> {
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::other("it has no file name"))?;
    let mut number = 0;
    loop {
        let mut temporary = name.to_owned();
        temporary.push(format!(".{}-{number}.new", std::process::id()));
        let path = directory(target).join(temporary);
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match opened {
            Ok(file) => return Ok((file, path)),
            // Where a container starts, it always has the same process identifier.
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists && number < LEFT_OVER_MAX => {
                number += 1;
            }
            Err(cause) => return Err(cause),
        }
    }
}

fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_file_stays_until_the_new_one_is_whole() {
        let directory = std::env::temp_dir().join(format!("mqttd-replace-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let target = directory.join("state");
        // A first one, that belongs to its owner.
        let mut first = Replacement::begin(&target).unwrap();
        first.write_all(b"old").unwrap();
        first.finish().unwrap();
        let mode = |path: &Path| {
            use std::os::unix::fs::PermissionsExt;
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode(&target), 0o600);

        // One that is given up leaves nothing.
        let mut given_up = Replacement::begin(&target).unwrap();
        given_up.write_all(b"half").unwrap();
        drop(given_up);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(names(&directory), ["state"]);

        // Two at a time have names of their own, and the permissions stay.
        fs::set_permissions(&target, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        let mut new = Replacement::begin(&target).unwrap();
        let other = Replacement::begin(&target).unwrap();
        assert_eq!(names(&directory).len(), 3);
        new.write_all(b"new").unwrap();
        new.finish().unwrap();
        drop(other);
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(mode(&target), 0o640);
        assert_eq!(names(&directory), ["state"]);

        assert!(Replacement::begin(&directory).is_err());
        assert!(Replacement::begin(&directory.join("none/state")).is_err());
        fs::remove_dir_all(&directory).unwrap();
    }
}
