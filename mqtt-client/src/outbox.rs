//! What survives the process: accepted messages until they are delivered, and what exactly-once needs.
//!
//! Without an outbox a client keeps what it has accepted in memory, through all losses of the connection, until
//! the process ends. With one, a message is accepted when it is in the outbox, and the next process goes on with
//! it. `RedbOutbox` keeps it in a file (feature `redb`); whoever wants it elsewhere implements [`Outbox`], and
//! calls [`testkit::check`] in a test.

#[cfg(feature = "redb")]
mod redb;
pub mod testkit;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;

use mqtt_codec::PacketId;

#[cfg(feature = "redb")]
pub use self::redb::{Durability, RedbOutbox};
use crate::{Instant, Message};

/// Keeps what must survive the process, for one client.
///
/// An outbox is a fold over changes: after any sequence of commits, [`load`](Self::load) gives what
/// [`Stored::apply`] makes of the same changes. It knows no rules of MQTT: no expiry, no order of sending.
///
/// Both methods may block, as a disk does. The client calls them on a thread where that is allowed, one at a
/// time, and goes on accepting messages meanwhile: what comes during a commit is the next one.
pub trait Outbox: Send + 'static {
    /// All that is kept.
    ///
    /// # Errors
    /// [`OutboxError`] if it cannot be read, or not be trusted.
    fn load(&mut self) -> Result<Stored, OutboxError>;

    /// Applies all changes in their order, or none.
    ///
    /// `Ok` means that they survive the end of the process, and whatever else this outbox was made to survive.
    /// The client promises nothing before: no message is accepted, and no QoS 2 handshake goes on.
    ///
    /// # Errors
    /// After an error it is not known whether the changes were applied. Every later commit answers
    /// [`OutboxError::Poisoned`], and the client ends.
    fn commit(&mut self, changes: &[OutboxChange]) -> Result<(), OutboxError>;
}

/// One change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutboxChange {
    /// The session of this client identifier has begun. What was received belonged to the one before, and goes;
    /// what is outgoing stays.
    NewSession {
        /// The client identifier, ours or the server's choice.
        client_id: Arc<str>,
    },
    /// A CONNECT is about to be sent: the server may begin a new session without our hearing of it.
    Connecting,
    /// Messages with a number below this may have been sent, all others have not: [`u64::MAX`] as long as there is a
    /// connection. The last CONNECT was answered.
    Sending {
        /// The number.
        below: u64,
    },
    /// A message was accepted; it takes the place of whatever had this number.
    Put {
        /// Its place in the order of sending. A message is not renumbered, and its packet identifier follows
        /// from this.
        sequence: u64,
        /// The message.
        message: StoredMessage,
    },
    /// A QoS 2 message was received by the server, and must not be sent again: a PUBREC. Its content is not
    /// needed any more. Nothing happens if there is none.
    Release {
        /// The message.
        sequence: u64,
    },
    /// A message is done with: delivered, or given up. Nothing happens if there is none.
    Remove {
        /// The message.
        sequence: u64,
    },
    /// A QoS 2 message of the server was received: it is not to be received again under this packet identifier.
    Received {
        /// The server's packet identifier.
        packet_id: PacketId,
    },
    /// The server may use the packet identifier for another message: a PUBREL. Nothing happens if there is none.
    Completed {
        /// The server's packet identifier.
        packet_id: PacketId,
    },
}

/// A message as it was accepted, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The message. Whether it was sent is not kept with it: see [`OutboxChange::Sending`].
    pub message: Message,
    /// When its lifetime is over. The property of the message says how long it was at first.
    pub expires: Option<Instant>,
}

/// All that an outbox keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The client identifier of the last [`OutboxChange::NewSession`].
    pub client_id: Option<Arc<str>>,
    /// The number of the last [`OutboxChange::Sending`]; 0 without one.
    pub sending_below: u64,
    /// True after an [`OutboxChange::Connecting`] without [`OutboxChange::Sending`] behind it.
    pub connecting: bool,
    /// What is not delivered, by sequence number.
    pub outgoing: BTreeMap<u64, Outgoing>,
    /// The packet identifiers of QoS 2 messages that were received and are not completed.
    pub received: BTreeSet<PacketId>,
}

/// What is left to do for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// To publish it.
    Message(StoredMessage),
    /// To send its PUBREL: the server has the message.
    Released,
}

impl Stored {
    /// Applies changes in their order. This is what an outbox has to do, and it is one, but for the memory.
    pub fn apply(&mut self, changes: &[OutboxChange]) {
        for change in changes {
            match change {
                OutboxChange::NewSession { client_id } => {
                    self.client_id = Some(client_id.clone());
                    self.received.clear();
                }
                OutboxChange::Connecting => self.connecting = true,
                OutboxChange::Sending { below } => {
                    self.sending_below = *below;
                    self.connecting = false;
                }
                OutboxChange::Put { sequence, message } => {
                    let message = Outgoing::Message(message.clone());
                    self.outgoing.insert(*sequence, message);
                }
                OutboxChange::Release { sequence } => {
                    if let Some(outgoing) = self.outgoing.get_mut(sequence) {
                        *outgoing = Outgoing::Released;
                    }
                }
                OutboxChange::Remove { sequence } => {
                    self.outgoing.remove(sequence);
                }
                OutboxChange::Received { packet_id } => {
                    self.received.insert(*packet_id);
                }
                OutboxChange::Completed { packet_id } => {
                    self.received.remove(packet_id);
                }
            }
        }
    }
}

/// The fault of the disk, or of whatever stands in for it. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// It cannot be opened.
    #[error("cannot open {}: {cause}", path.display())]
    Open {
        /// The file or directory.
        path: Arc<Path>,
        /// Why.
        cause: NotOpened,
    },
    /// Reading or writing failed.
    #[error("reading or writing failed: {0}")]
    Failed(Arc<dyn StdError + Send + Sync>),
    /// What is kept cannot be understood.
    #[error("what is stored is damaged: {0}")]
    Damaged(Arc<str>),
    /// An earlier commit failed, so nothing more is taken.
    #[error("nothing more is taken since a commit failed")]
    Poisoned,
}

/// Why an outbox cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotOpened {
    /// Another process, or another outbox of this one, has it open.
    #[error("another client uses it")]
    InUse,
    /// It holds something else, and is left alone.
    #[error("it is no outbox of an MQTT client")]
    NoOutbox,
    /// It was written by a version of this crate that keeps things in another way.
    #[error("it has format {found}, and this version knows format {known}")]
    Format {
        /// The format of the file.
        found: u32,
        /// The only one known.
        known: u32,
    },
    /// It is damaged.
    #[error("it is damaged: {0}")]
    Damaged(Arc<str>),
    /// The system has a reason.
    #[error("{0}")]
    Failed(Arc<dyn StdError + Send + Sync>),
}

impl OutboxError {
    /// A failure with its cause.
    pub fn failed(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Failed(Arc::from(cause.into()))
    }
}
