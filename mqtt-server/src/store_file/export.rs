//! From a store to lines.

use std::io::Write;

use mqtt_broker_core::ClientId;
use mqtt_broker_core::store::{SessionStore, StoredSession};
use serde::Serialize;

use super::form::Record;
use super::{Counts, ExportError, FORMAT, Header, VERSION};

/// Sessions, deliveries or retained messages that are in memory at a time.
const PAGE: usize = 64;

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
    writer.sessions(store).await?;
    writer.retained(store).await?;
    writer.line(&Record::End(writer.counts))?;
    writer.out.flush()?;
    Ok(writer.counts)
}

struct Writer<W> {
    out: W,
    counts: Counts,
}

impl<W: Write> Writer<W> {
    async fn sessions(&mut self, store: &dyn SessionStore) -> Result<(), ExportError> {
        let mut after: Option<ClientId> = None;
        loop {
            let page = store.sessions(after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for (client, session) in page {
                self.session(&client, session)?;
                self.deliveries(&client, store).await?;
            }
        }
    }

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

    async fn deliveries(
        &mut self,
        client: &ClientId,
        store: &dyn SessionStore,
    ) -> Result<(), ExportError> {
        let mut after = None;
        loop {
            let page = store.deliveries(client, after, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(*last);
            for (seq, delivery) in page {
                self.line(&Record::delivery(client, seq, delivery))?;
                self.counts.deliveries += 1;
            }
        }
    }

    async fn retained(&mut self, store: &dyn SessionStore) -> Result<(), ExportError> {
        let mut after = None;
        loop {
            let page = store.retained(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.topic());
            for message in page {
                self.line(&Record::Retained(message))?;
                self.counts.retained += 1;
            }
        }
    }

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
