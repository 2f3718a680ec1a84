//! Where the sources name a statement of the standard: `[MQTT-3.1.2-24]` is one of 5.0, and
//! `[MQTT-3.1.3-8] of 3.1.1` one of 3.1.1.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Version;
use crate::statements::Side;

/// Crates whose sources obey the standard, and whose tests may prove it. What both sides have comes
/// first.
const CRATES: [&str; 7] = [
    "mqtt-codec",
    "mqtt-broker-core",
    "mqtt-store-memory",
    "mqtt-store-rocksdb",
    "mqtt-server",
    "mqtt-client",
    "mqtt-cli",
];

/// A place that names a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) version: Version,
    /// Such as `3.1.2-24`.
    pub(crate) id: String,
    /// From the root of the project, with slashes.
    pub(crate) file: String,
    /// The function or type that it is said of, if there is one.
    pub(crate) item: String,
}

impl Tag {
    /// Whether a side runs this code. The codec is that of both.
    pub(crate) fn is_of(&self, side: Side) -> bool {
        match self.file.split('/').next() {
            Some("mqtt-codec") => true,
            Some("mqtt-client" | "mqtt-cli") => side == Side::Client,
            _ => side == Side::Server,
        }
    }
}

/// The tags of sources and of tests.
pub(crate) struct Code {
    pub(crate) sources: Vec<Tag>,
    pub(crate) tests: Vec<Tag>,
}

impl Code {
    /// Reads the project at `root`.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut code = Self {
            sources: Vec::new(),
            tests: Vec::new(),
        };
        for name in CRATES {
            for (folder, tags) in [("src", &mut code.sources), ("tests", &mut code.tests)] {
                for path in rust_files(&root.join(name).join(folder))? {
                    let text = fs::read_to_string(&path)
                        .map_err(|error| format!("{}: {error}", path.display()))?;
                    let file = path.strip_prefix(root).unwrap_or(&path);
                    tags.extend(tags_of(&file.to_string_lossy(), &text));
                }
            }
        }
        Ok(code)
    }
}

/// All Rust files below `folder`, in the order of their names. None if there is no such folder.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        let at = |error: std::io::Error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(at)? {
            let path = entry.map_err(at)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn tags_of(file: &str, text: &str) -> Vec<Tag> {
    let lines: Vec<&str> = text.lines().collect();
    let mut tags: Vec<Tag> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        for (version, id) in row_of_a_table(line).into_iter().chain(brackets(line)) {
            let tag = Tag {
                version,
                id,
                file: file.to_owned(),
                item: item(&lines, at).to_owned(),
            };
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    tags
}

/// The statements in square brackets.
fn brackets(line: &str) -> Vec<(Version, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((_, after)) = rest.split_once("[MQTT-") {
        let Some((id, next)) = after.split_once(']') else {
            break;
        };
        let version = if next.trim_start_matches('`').starts_with(" of 3.1.1") {
            Version::V3_1_1
        } else {
            Version::V5
        };
        if id.starts_with(|first: char| first.is_ascii_digit()) {
            found.push((version, id.to_owned()));
        }
        rest = next;
    }
    found
}

/// The tables of errors have their statements as strings: one of 5.0, or one of each version.
fn row_of_a_table(line: &str) -> Vec<(Version, String)> {
    let fields: Vec<&str> = line.trim().split(", ").take(4).collect();
    let [_, _, new, old] = fields[..] else {
        return Vec::new();
    };
    let id = |field: &str| {
        let field = field.strip_prefix("Some(").unwrap_or(field);
        let id = field.strip_prefix("\"MQTT-")?;
        Some(id.trim_end_matches(')').trim_end_matches('"').to_owned())
    };
    let new = id(new).map(|id| (Version::V5, id));
    let old = id(old).map(|id| (Version::V3_1_1, id));
    new.into_iter().chain(old).collect()
}

/// The function or type that a line is about: a documentation comment and what stands before an
/// item are about what follows, anything else about what it stands in.
fn item<'a>(lines: &[&'a str], at: usize) -> &'a str {
    let line = lines[at].trim_start();
    if !line.starts_with("//!") {
        let row = line.split([',', ' ']).next().unwrap_or_default();
        if line.contains("MQTT-") && row.starts_with(|first: char| first.is_ascii_uppercase()) {
            return row;
        }
        let next = lines[at..]
            .iter()
            .take_while(|line| {
                let line = line.trim_start();
                line.starts_with("//") || line.starts_with("#[") || name(line).is_some()
            })
            .find_map(|line| name(line));
        let above = || lines[..at].iter().rev().find_map(|line| name(line));
        return next.or_else(above).unwrap_or_default();
    }
    ""
}

/// The name of the item that begins in this line.
fn name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let restricted = line.strip_prefix("pub(");
    let line = restricted.map_or(Some(line), |rest| {
        rest.split_once(')').map(|(_, item)| item)
    })?;
    let mut words = line
        .trim_start()
        .split([' ', '(', '<', ':', '{', ';'])
        .skip_while(|word| matches!(*word, "pub" | "const" | "async"));
    matches!(words.next()?, "fn" | "struct" | "enum" | "trait")
        .then(|| words.next())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::{Version, tags_of};

    fn tags(text: &str) -> Vec<(Version, String, String)> {
        let tags = tags_of("file.rs", text);
        tags.into_iter()
            .map(|tag| (tag.version, tag.id, tag.item))
            .collect()
    }

    fn tag(version: Version, id: &str, item: &str) -> (Version, String, String) {
        (version, id.to_owned(), item.to_owned())
    }

    #[test]
    fn a_tag_is_of_the_item_that_it_stands_in_or_before() {
        let text = "/// Says. `[MQTT-1.2.3-4]`\n#[must_use]\npub(super) const fn first() {\n    \
            // Why. [MQTT-1.2.3-5] of 3.1.1, [MQTT-1.2.3-6]\n    go();\n}\n";
        assert_eq!(
            tags(text),
            [
                tag(Version::V5, "1.2.3-4", "first"),
                tag(Version::V3_1_1, "1.2.3-5", "first"),
                tag(Version::V5, "1.2.3-6", "first"),
            ]
        );
    }

    #[test]
    fn whoever_may_see_it_an_item_has_its_name() {
        for before in [
            "",
            "pub ",
            "pub(crate) ",
            "pub(in crate::one::two) ",
            "pub(super) async ",
        ] {
            let text = format!("// [MQTT-1.2.3-4]\n{before}fn named(word: u8) {{}}\n");
            assert_eq!(
                tags(&text),
                [tag(Version::V5, "1.2.3-4", "named")],
                "{before}"
            );
        }
    }

    #[test]
    fn the_tables_have_a_column_for_each_version() {
        let row =
            "    Utf8, MalformedPacket, Some(\"MQTT-1.5.4-1\"), Some(\"MQTT-1.5.3-1\"), \"no\";";
        assert_eq!(
            tags(row),
            [
                tag(Version::V5, "1.5.4-1", "Utf8"),
                tag(Version::V3_1_1, "1.5.3-1", "Utf8"),
            ]
        );
        let row = "    ResponseTopic = 0x08, topic, [Publish], \"Says. `[MQTT-3.3.2-13]`\";";
        assert_eq!(tags(row), [tag(Version::V5, "3.3.2-13", "ResponseTopic")]);
        let row = "    ConnectTwice, ProtocolError, \"MQTT-3.1.0-2\", \"there is a second\";";
        assert_eq!(tags(row), [tag(Version::V5, "3.1.0-2", "ConnectTwice")]);
    }
}
