use std::convert::Infallible;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A directory of its own, which is removed with what is in it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mqtt-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        let mut names: Vec<_> = entries.map(|entry| name(entry).unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn append(text: &'static str) -> impl FnMut(&[u8]) -> Result<Vec<u8>, Infallible> {
    move |old| Ok([old, text.as_bytes()].concat())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn the_file_is_another_one_with_the_same_permissions() {
    let directory = Directory::new("replace");
    let path = directory.file("f", "old ");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    // Held open, so that its number is not given to the next file.
    let old = File::open(&path).unwrap();
    edit(&path, Placement::Replace, append("new")).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old new");
    assert_eq!(mode(&path), 0o640);
    assert_ne!(inode(&path), old.metadata().unwrap().ino());
    assert_eq!(directory.names(), ["f"]);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(1), Some(2)).unwrap();
        edit(&path, Placement::Replace, append("er")).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1, 2));
        assert_eq!(mode(&path), 0o640);
    }
}

#[test]
fn a_symbolic_link_stays_one() {
    let directory = Directory::new("replace");
    let path = directory.file("f", "old ");
    let link = directory.0.join("link");
    symlink("f", &link).unwrap();
    edit(&link, Placement::Replace, append("new")).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old new");
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("f"));
    assert_eq!(directory.names(), ["f", "link"]);
    // Also one that leads to nothing yet.
    let link = directory.0.join("link2");
    symlink(directory.0.join("g"), &link).unwrap();
    create(&link, b"x", Creation::Overwrite).unwrap();
    assert_eq!(fs::read_to_string(directory.0.join("g")).unwrap(), "x");
    assert_eq!(directory.names(), ["f", "g", "link", "link2"]);
    // And a circle ends.
    let link = directory.0.join("circle");
    symlink("circle", &link).unwrap();
    let refused = edit(&link, Placement::Replace, append("new"));
    assert!(matches!(refused, Err(EditError::Open(_))));
    assert!(create(&link, b"x", Creation::Overwrite).is_err());
}

#[test]
fn a_change_of_others_is_built_upon() {
    let directory = Directory::new("replace");
    let path = directory.file("f", "1");
    let mut calls = 0;
    let change = |old: &[u8]| {
        calls += 1;
        if calls == 1 {
            // As an editor does it, and as Mosquitto's program does it.
            fs::write(directory.0.join("g"), "12").unwrap();
            fs::rename(directory.0.join("g"), &path).unwrap();
        } else if calls == 2 {
            fs::write(&path, "123").unwrap();
        }
        Ok::<_, Infallible>([old, b"!"].concat())
    };
    edit(&path, Placement::Replace, change).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "123!");
    assert_eq!(calls, 3);
    assert_eq!(directory.names(), ["f"]);
}

#[test]
fn those_who_change_at_once_lose_nothing() {
    let directory = Directory::new("replace");
    let path = directory.file("f", "");
    let threads = 4;
    let changes = 25;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..changes {
                    edit(&path, Placement::Replace, append("x")).unwrap();
                }
            });
        }
    });
    let length = fs::read(&path).unwrap().len();
    assert_eq!(length, threads * changes);
    assert_eq!(directory.names(), ["f"]);
}

#[test]
fn a_file_that_is_always_changed_is_given_up() {
    let directory = Directory::new("replace");
    let path = directory.file("f", "");
    let mut calls = 0;
    let change = |_: &[u8]| {
        calls += 1;
        fs::write(&path, "x".repeat(calls)).unwrap();
        Ok::<_, Infallible>(b"new".to_vec())
    };
    let given_up = edit(&path, Placement::Replace, change);
    assert!(matches!(given_up, Err(EditError::Busy)));
    assert_eq!(calls, ATTEMPTS_MAX as usize);
    assert_eq!(directory.names(), ["f"]);
}

#[test]
fn a_change_that_says_no_changes_nothing() {
    let directory = Directory::new("replace");
    let path = directory.file("f", "old");
    let refused = edit(&path, Placement::Replace, |_| Err::<Vec<u8>, _>("no"));
    assert!(matches!(refused, Err(EditError::Change("no"))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(directory.names(), ["f"]);
}

#[test]
fn a_file_with_a_second_name_is_written_into_only_where_that_is_wanted() {
    let directory = Directory::new("replace");
    let path = directory.file("f", "old longer ");
    fs::hard_link(&path, directory.0.join("g")).unwrap();
    let refused = edit(&path, Placement::Replace, append("new")).unwrap_err();
    assert!(refused.to_string().contains("--in-place"), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old longer ");
    edit(&path, Placement::ReplaceIfPossible, append("new")).unwrap();
    let other = fs::read_to_string(directory.0.join("g")).unwrap();
    assert_eq!(other, "old longer new");
    let shorten = |_: &[u8]| Ok::<_, Infallible>(b"short".to_vec());
    edit(&path, Placement::InPlace, shorten).unwrap();
    assert_eq!(fs::read_to_string(directory.0.join("g")).unwrap(), "short");
    assert_eq!(directory.names(), ["f", "g"]);
}

#[test]
fn a_new_file_is_its_owners_and_replaces_nothing() {
    let directory = Directory::new("replace");
    let path = directory.0.join("f");
    create(&path, b"x", Creation::New).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x");
    assert_eq!(mode(&path), 0o600);
    let refused = create(&path, b"y", Creation::New).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"x");
    create(&path, b"y", Creation::Overwrite).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"y");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(directory.names(), ["f"]);
    for nowhere in ["", "none/f", ".."] {
        let path = match nowhere {
            "" => PathBuf::new(),
            name => directory.0.join(name),
        };
        assert!(
            create(&path, b"x", Creation::Overwrite).is_err(),
            "{nowhere}"
        );
    }
    assert!(check(&directory.0).is_err());
    assert!(check(Path::new("/dev/null")).is_err());
    create(Path::new("/dev/null"), b"x", Creation::Overwrite).unwrap();
}
