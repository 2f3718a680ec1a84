//! From a store to lines.

use std::io::Write;
use std::sync::Arc;

use mqtt_broker_core::store::{Delivery, SessionStore, StoredSession};
use mqtt_broker_core::{ClientId, Message};
use serde::Serialize;

use super::form::Record;
use super::{Counts, ExportError, FORMAT, Header, VERSION};
use crate::walk::{Visitor, walk};

/// Writes all that is in `store` to `out`, which should have a buffer, and flushes it.
///
/// Nothing may change the store meanwhile. Blocks where `out` does.
///
/// # Errors
/// [`ExportError`] if the store cannot be read, or `out` not be written: what is there by then has
/// no last line, and is no use.
pub(crate) async fn export(
    store: &dyn SessionStore,
    out: impl Write,
) -> Result<Counts, ExportError> {
    let mut writer = Writer {
        out,
        counts: Counts::default(),
    };
    let format = FORMAT.to_owned();
    let version = VERSION;
    writer.line(&Header { format, version })?;
    walk(store, &mut writer).await?;
    writer.line(&Record::End(writer.counts))?;
    writer.out.flush()?;
    Ok(writer.counts)
}

struct Writer<W> {
    out: W,
    counts: Counts,
}

impl<W: Write> Visitor for Writer<W> {
    type Error = ExportError;

    fn session(&mut self, client: &ClientId, session: StoredSession) -> Result<(), ExportError> {
        self.line(&Record::session(client, session.record))?;
        self.counts.sessions += 1;
        for (filter, subscription) in session.subscriptions {
            self.line(&Record::subscription(client, filter, subscription))?;
            self.counts.subscriptions += 1;
        }
        for packet_id in session.received {
            self.line(&Record::received(client, packet_id))?;
            self.counts.received += 1;
        }
        Ok(())
    }

    fn delivery(
        &mut self,
        client: &ClientId,
        seq: u64,
        delivery: Delivery,
    ) -> Result<(), ExportError> {
        self.counts.deliveries += 1;
        self.line(&Record::delivery(client, seq, delivery))
    }

    fn retained(&mut self, message: Arc<Message>) -> Result<(), ExportError> {
        self.counts.retained += 1;
        self.line(&Record::Retained(message))
    }
}

impl<W: Write> Writer<W> {
    fn line(&mut self, line: &impl Serialize) -> Result<(), ExportError> {
        serde_json::to_writer(&mut self.out, line).map_err(|error| {
            if error.is_io() {
                ExportError::Write(error.into())
            } else {
                ExportError::Content(error.to_string())
            }
        })?;
        self.out.write_all(b"\n")?;
        Ok(())
    }
}
