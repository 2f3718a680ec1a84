//! The lines of a password file: `user:password`, as Mosquitto reads them.
//!
//! Lines that begin with `#` and empty ones say nothing, and stay as they are. Blanks around a name
//! and a password do not belong to them.

use super::hash::{HashError, Scheme};

/// The lines of a file, without their ends.
#[derive(Debug)]
pub(crate) struct PasswordFile {
    lines: Vec<Vec<u8>>,
}

/// A line is not `user:password`, and no comment either. Lines count from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CorruptLine(pub(crate) usize);

struct Entry<'a> {
    user: &'a [u8],
    password: &'a [u8],
}

impl PasswordFile {
    /// Takes `bytes` apart.
    ///
    /// # Errors
    /// If a line is neither an entry nor a comment: it would be lost otherwise, or hide what was meant.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, CorruptLine> {
        let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut file = Self { lines: Vec::new() };
        if bytes.is_empty() {
            return Ok(file);
        }
        for (index, line) in lines.split(|byte| *byte == b'\n').enumerate() {
            if entry(line).is_none() && !says_nothing(line) {
                return Err(CorruptLine(index + 1));
            }
            file.lines.push(line.to_vec());
        }
        Ok(file)
    }

    /// The file with an end at each line.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in self.lines {
            bytes.extend(line);
            bytes.push(b'\n');
        }
        bytes
    }

    /// Gives `user` the hash `hash`, at the place of the old one, or else at the end.
    pub(crate) fn set(&mut self, user: &[u8], hash: &str) {
        let new = [user, b":", hash.as_bytes()].concat();
        let mut found = false;
        for line in &mut self.lines {
            if is_of(line, user) {
                line.clone_from(&new);
                found = true;
            }
        }
        if !found {
            self.lines.push(new);
        }
    }

    /// Removes `user`; says whether it was there.
    pub(crate) fn remove(&mut self, user: &[u8]) -> Removal {
        let before = self.lines.len();
        self.lines.retain(|line| !is_of(line, user));
        if self.lines.len() < before {
            Removal::Done
        } else {
            Removal::NoSuchUser
        }
    }

    /// What is behind the name of `user`, in its first line as for a broker.
    pub(crate) fn password_of(&self, user: &[u8]) -> Option<&[u8]> {
        let mut lines = self.lines.iter().filter(|line| !line.starts_with(b"#"));
        lines
            .find_map(|line| entry(line).filter(|entry| entry.user == user))
            .map(|entry| entry.password)
    }

    /// Hashes each password that `is_plain` takes for plain text; says how many.
    ///
    /// # Errors
    /// If one cannot be hashed. What was hashed by then is.
    pub(crate) fn hash_plain(
        &mut self,
        scheme: Scheme,
        is_plain: impl Fn(&[u8]) -> bool,
    ) -> Result<usize, HashError> {
        let mut hashed = 0;
        for line in self.lines.iter_mut().filter(|line| !line.starts_with(b"#")) {
            let Some(Entry { user, password }) = entry(line) else {
                continue;
            };
            if is_plain(password) {
                *line = [user, b":", scheme.hash(password)?.as_bytes()].concat();
                hashed += 1;
            }
        }
        Ok(hashed)
    }
}

/// What became of a user that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    Done,
    NoSuchUser,
}

/// Mosquitto takes any number of colons for one, and what is behind a second one for nothing.
fn entry(line: &[u8]) -> Option<Entry<'_>> {
    let mut fields = line
        .split(|byte| *byte == b':')
        .filter(|field| !field.is_empty());
    let user = fields.next()?.trim_ascii();
    let password = fields.next()?.trim_ascii();
    (!user.is_empty() && !password.is_empty()).then_some(Entry { user, password })
}

fn is_of(line: &[u8], user: &[u8]) -> bool {
    entry(line).is_some_and(|entry| entry.user == user)
}

fn says_nothing(line: &[u8]) -> bool {
    line.starts_with(b"#") || line.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PasswordFile {
        PasswordFile::parse(text.as_bytes()).unwrap()
    }

    fn text(file: PasswordFile) -> String {
        String::from_utf8(file.into_bytes()).unwrap()
    }

    #[test]
    fn a_new_user_comes_last_and_a_known_one_stays_where_it_is() {
        let mut file = parse("# who may come\n\na:1\nb:2\na:3\n");
        file.set(b"a", "new");
        file.set(b"c", "4");
        let changed = "# who may come\n\na:new\nb:2\na:new\nc:4\n";
        assert_eq!(text(file), changed);
    }

    #[test]
    fn a_last_line_without_an_end_is_not_run_together_with_the_next() {
        let mut file = parse("a:1");
        file.set(b"b", "2");
        assert_eq!(text(file), "a:1\nb:2\n");
        let mut file = parse("");
        file.set(b"b", "2");
        assert_eq!(text(file), "b:2\n");
    }

    #[test]
    fn all_lines_of_a_user_are_removed() {
        let mut file = parse("a:1\nb:2\r\n a :3\n");
        assert_eq!(file.remove(b"a"), Removal::Done);
        assert_eq!(file.remove(b"a"), Removal::NoSuchUser);
        assert_eq!(text(file), "b:2\r\n");
    }

    #[test]
    fn the_first_line_of_a_user_counts() {
        let file = parse("#a:0\n:: a : 1 :x\na:2\n");
        assert_eq!(file.password_of(b"a"), Some(&b"1"[..]));
        assert_eq!(file.password_of(b"#a"), None);
        assert_eq!(file.password_of(b""), None);
    }

    #[test]
    fn a_line_that_is_no_entry_is_told_by_its_number() {
        for (text, line) in [
            ("a:1\nb\n", 2),
            ("a:\n", 1),
            ("a:1\n\n:b\n", 3),
            (":", 1),
            ("a: \n", 1),
        ] {
            let corrupt = PasswordFile::parse(text.as_bytes()).unwrap_err();
            assert_eq!(corrupt, CorruptLine(line), "{text:?}");
        }
    }

    #[test]
    fn plain_text_becomes_a_hash_and_comments_stay() {
        let mut file = parse("# x:y\na:plain\n\nb:$6$x$y\n");
        let hashed = file.hash_plain(Scheme::Sha512, |password| !password.starts_with(b"$"));
        assert_eq!(hashed.unwrap(), 1);
        let text = text(file);
        assert!(text.starts_with("# x:y\na:$6$"), "{text}");
        assert!(text.ends_with("\n\nb:$6$x$y\n"), "{text}");
    }
}
