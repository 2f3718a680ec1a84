//! `mqtt retained export`.

use std::io::{self, BufWriter, Write};

use mqtt_client::Message;
use serde::Serialize;

use super::record::{Counts, FORMAT, Header, Record, Retained, VERSION};
use super::{Server, now_ms, unless_closed};
use crate::connection::Failure;
use crate::retained::collect::Problem;

/// Writes each message as it comes. The last line is only there if all of them are.
pub(super) async fn run(server: &Server<'_>) -> Result<(), Failure> {
    // Not locked while it waits for the server: what is said on the way would wait, too.
    let mut out = BufWriter::new(io::stdout());
    let mut counts = Counts::default();
    let header = Header {
        format: FORMAT.into(),
        version: VERSION,
    };
    if let Err(cause) = write_line(&mut out, &header) {
        return unless_closed(Err(cause));
    }
    let write = |message: Message| {
        counts.retained += 1;
        let retained = Retained::received(message, now_ms());
        write_line(&mut out, &Record::Retained(retained))
    };
    let summary = match server.collection().at_own_qos(write).await {
        Ok(summary) => summary,
        Err(Problem::Output(cause)) => return unless_closed(Err(cause)),
        Err(problem) => return Err(server.failure(problem)),
    };
    let ended = write_line(&mut out, &Record::End(counts)).and_then(|()| out.flush());
    unless_closed(ended)?;
    server.caution(summary);
    Ok(())
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
