//! With a real broker: the one of this workspace, in this process.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mqtt_broker_core::{Broker, Listener, Stream, Transport};
use mqtt_client::{Client, QoS};
use mqtt_store_memory::MemoryStore;
use tokio::net::TcpListener;

struct Tcp(TcpListener);

#[async_trait::async_trait]
impl Listener for Tcp {
    async fn accept(&mut self) -> io::Result<Box<dyn Transport>> {
        let (stream, peer) = self.0.accept().await?;
        Ok(Box::new(Stream::new(stream, peer)))
    }
}

async fn broker() -> SocketAddr {
    let store = Arc::new(MemoryStore::default());
    let broker = Broker::builder(store).build().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let serving = broker.serve(Tcp(listener));
        serving.await.unwrap();
    });
    address
}

#[tokio::test]
async fn messages_go_round_at_every_qos() {
    let url = format!("mqtt://{}", broker().await);
    let subscriber = Client::connect(&url).await.unwrap();
    let publisher = Client::connect(&url).await.unwrap();
    let mut stream = subscriber
        .subscribe("t/#")
        .qos(QoS::ExactlyOnce)
        .await
        .unwrap();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher
            .publish("t/a", format!("{qos:?}"))
            .qos(qos)
            .await
            .unwrap();
        let message = stream.next().await.unwrap();
        assert_eq!(
            (message.qos, message.text().unwrap()),
            (qos, &*format!("{qos:?}"))
        );
    }
    stream.unsubscribe().await.unwrap();
    let report = publisher.disconnect().await.unwrap();
    assert!(report.undelivered.is_empty());
}

#[tokio::test]
async fn a_request_is_answered() {
    let url = format!("mqtt://{}", broker().await);
    let server = Client::connect(&url).await.unwrap();
    let client = Client::connect(&url).await.unwrap();
    let nobody = client.request("svc/echo", "hi").await;
    assert!(
        matches!(nobody, Err(mqtt_client::Error::NoResponder)),
        "{nobody:?}"
    );
    let mut requests = server.serve("svc/echo").await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            request.reply(request.payload.clone()).await.unwrap();
        }
    });
    let requests = (0..20).map(|number: u32| {
        let request = client.request("svc/echo", number.to_string());
        tokio::spawn(async move { (number, request.await) })
    });
    for request in requests.collect::<Vec<_>>() {
        let (number, answer) = request.await.unwrap();
        assert_eq!(answer.unwrap().payload, number.to_string());
    }
}

#[tokio::test]
async fn an_attempt_tries_one_server_after_the_other() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("mqtt://{}", gone.local_addr().unwrap());
    drop(gone);
    let url = format!("mqtt://{}", broker().await);
    let client = Client::builder(&nobody)
        .server(&url)
        .connect()
        .await
        .unwrap();
    assert!(client.server().unwrap().starts_with(&url));
    let error = Client::builder(&nobody)
        .server(&nobody)
        .connect_timeout(Duration::from_secs(5))
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.to_string().matches("mqtt://").count(), 2, "{error}");
}

#[tokio::test]
async fn a_server_that_opens_and_says_nothing_is_not_the_first_again() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let first = format!("mqtt://{}", mute.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = mute.accept().await {
            drop(stream);
        }
    });
    let url = format!("mqtt://{}", broker().await);
    let client = Client::builder(&first)
        .server(&url)
        .connect()
        .await
        .unwrap();
    assert!(client.server().unwrap().starts_with(&url));
}
