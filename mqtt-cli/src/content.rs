//! The payload that a publisher sends, from wherever the options say.

use std::io::{self, BufRead as _, Read as _};
use std::path::Path;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::configuration::Content;
use crate::connection::Failure;

/// Lines that are read ahead of what is sent.
const LINES_AHEAD: usize = 64;

/// What is to be sent.
#[derive(Debug)]
pub(crate) enum Payload {
    /// One message, perhaps many times.
    Whole(Bytes),
    /// A message for each line of standard input.
    Lines,
}

/// Reads what can be read before there is a connection.
pub(crate) fn load(content: &Content) -> Result<Payload, Failure> {
    Ok(match content {
        Content::Text(text) => Payload::Whole(Bytes::copy_from_slice(text)),
        Content::Null => Payload::Whole(Bytes::new()),
        Content::File(path) => Payload::Whole(read_file(path)?),
        Content::Stdin => Payload::Whole(read_stdin()?),
        Content::Lines => Payload::Lines,
    })
}

fn read_file(path: &Path) -> Result<Bytes, Failure> {
    let shown = path.display();
    std::fs::read(path).map(Bytes::from).map_err(|cause| {
        Failure::new(format!("Error: Unable to open file \"{shown}\"."), 1)
            .and(format!("Error loading input file \"{shown}\": {cause}."))
    })
}

fn read_stdin() -> Result<Bytes, Failure> {
    let mut all = Vec::new();
    let failed = |line: String| Failure::new(line, 1).and("Error loading input from stdin.");
    io::stdin()
        .lock()
        .read_to_end(&mut all)
        .map_err(|cause| failed(format!("Error: {cause}.")))?;
    // Somebody's pipe has failed, more likely than not; -n is for messages without payload.
    if all.is_empty() {
        Err(failed("Error: Zero length input.".to_owned()))
    } else {
        Ok(all.into())
    }
}

/// The lines of standard input, without their ends. They are read on a thread of their own, which nobody can stop: it ends with the
/// input or with the process.
pub(crate) fn lines() -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let failed = line.is_err();
            if sender.blocking_send(line.map(Bytes::from)).is_err() || failed {
                return;
            }
        }
    });
    receiver
}
