//! What a client does when its connection ends, or cannot be made: the list of behaviours, one file each.

mod addresses;
mod dead_peer;
mod delay;
mod fall_back;
mod ghost;
mod poison;
mod session;
mod stop;

use mqtt_client::{Client, Version};

use crate::fake_broker::{FakeBroker, Link, Session};
use crate::parties::builder;

/// A client that has just been let in.
async fn connected(broker: &FakeBroker, version: Version) -> (Client, Link) {
    let client = builder(broker.address(), version, "client")
        .start()
        .unwrap();
    let link = broker.accept(Session::New).await;
    (client, link)
}
