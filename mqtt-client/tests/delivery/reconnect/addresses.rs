//! Which servers are tried.

use std::time::Duration;

use mqtt_client::session::Redirects;
use mqtt_client::{Client, Version};
use mqtt_codec::{Property, ReasonCode, Text};

use crate::fake_broker::{FakeBroker, Session};
use crate::parties::builder;
use crate::port::Port;
use crate::soon;

/// Each server in its turn, until one lets the client in; and those again when it is lost.
#[tokio::test]
async fn all_servers_are_tried() {
    let (nobody, mut first, second) = (Port::new(), FakeBroker::start(), FakeBroker::start());
    let url = |address| format!("mqtt://{address}");
    let _client = Client::builder(&url(nobody.address()))
        .server(&url(first.address()))
        .server(&url(second.address()))
        .client_id("client")
        .backoff(Duration::from_millis(1)..=Duration::from_millis(5))
        .start()
        .unwrap();
    let link = first.accept(Session::New).await;
    assert_eq!(link.connect.version, Version::V5);
    first.deafen();
    link.reset();
    let link = second.accept(Session::New).await;
    first.listen();
    drop(second);
    link.reset();
    first.accept(Session::Present).await;
}

/// `localhost` is often two addresses, of which a server has one.
#[tokio::test]
async fn all_addresses_of_a_name_are_tried() {
    let broker = FakeBroker::start();
    let client = Client::builder(&format!("mqtt://localhost:{}", broker.address().port()))
        .client_id("client")
        .start()
        .unwrap();
    let _link = broker.accept(Session::New).await;
    let mut state = client.state();
    soon("a connection", async {
        while !state.now().is_connected() {
            state.changed().await;
        }
    })
    .await;
}

/// A server may send the client to another one, if that is allowed: for the next connection.
#[tokio::test]
async fn a_redirect_is_followed_where_that_is_allowed() {
    for reason in [ReasonCode::UseAnotherServer, ReasonCode::ServerMoved] {
        let (first, second) = (FakeBroker::start(), FakeBroker::start());
        let _client = builder(first.address(), Version::V5, "client")
            .redirects(Redirects::Follow)
            .start()
            .unwrap();
        let reference = second.address().to_string();
        let reference = Text::new(reference.as_bytes()).unwrap();
        let link = first.connection().await;
        link.refuse_with(reason, &[Property::ServerReference(reference)])
            .await;
        let link = second.accept(Session::New).await;
        link.reset();
        // From there, it is the usual server again.
        first.accept(Session::New).await;
    }
}
