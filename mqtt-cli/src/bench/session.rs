//! What a connection does besides its messages, while a run lasts: it lives until it is told to end, and says that it lives.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use mqtt_codec::Packet;
use tokio::sync::Notify;

use super::publisher::Publisher;
use super::subscriber::Subscriber;
use super::wire::{Fault, Wire};

/// The count that means the end.
const END: u32 = u32::MAX;

/// Tells all connections of a run what to do: one counter, and one list of those to wake.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    beats: AtomicU32,
    notify: Notify,
}

impl Signal {
    /// Has each connection send a PINGREQ.
    pub(crate) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        self.notify.notify_waiters();
    }

    /// Has each connection end.
    pub(crate) fn end(&self) {
        self.beats.store(END, Ordering::Release);
        self.notify.notify_waiters();
    }
}

/// A client of a run.
pub(crate) trait Client {
    /// Handles what there is; ready when the connection has ended, with the reason.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Fault>;
    fn wire(&mut self) -> &mut Wire;
}

impl Client for Publisher {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        Self::poll(self, context)
    }

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Client for Subscriber {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        Self::poll(self, context)
    }

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// A client that only stays.
pub(crate) struct Idle(pub(crate) Wire);

impl Client for Idle {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "all other packets are equally out of place"
    )]
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        loop {
            let read = self.0.poll_packets(context, |packet, _| match packet {
                Packet::PingResp => Ok(()),
                other => Err(super::target::unexpected(&other)),
            });
            if let Poll::Ready(Err(fault)) = self.0.poll_flush(context) {
                return Poll::Ready(fault);
            }
            match read {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(fault),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn wire(&mut self) -> &mut Wire {
        &mut self.0
    }
}

/// Runs a client until its connection or the run ends; the reason if it was the connection.
pub(crate) async fn drive(client: &mut impl Client, signal: &Signal) -> Option<Fault> {
    let mut notified = pin!(signal.notify.notified());
    let mut seen = None;
    poll_fn(|context| {
        // Once it waits it stays in the list, so it is polled only when there was something.
        let beats = signal.beats.load(Ordering::Acquire);
        if seen != Some(beats) {
            if seen.is_some() {
                notified.set(signal.notify.notified());
            }
            let _ = notified.as_mut().poll(context);
            let beats = signal.beats.load(Ordering::Acquire);
            if beats == END {
                return Poll::Ready(None);
            }
            if seen.is_some()
                && let Poll::Ready(Err(fault)) = ping(client.wire(), context)
            {
                return Poll::Ready(Some(fault));
            }
            seen = Some(beats);
        }
        client.poll(context).map(Some)
    })
    .await
}

fn ping(wire: &mut Wire, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
    let version = wire.version();
    wire.poll_write(context, |out| {
        // It has nothing that could be wrong.
        let _ = Packet::<&[u8]>::PingReq.encode(version, out);
    })
}
