//! Unix domain sockets.

use std::io;

use mqtt_client::transport::{Step, TransportOptions, open};
use mqtt_client::{Address, Proxy};
use tokio::net::UnixListener;

use crate::certificates::Directory;
use crate::peer::{check_echo, echo, fail};

#[tokio::test]
async fn a_socket_is_reached_whatever_the_proxy() {
    let directory = Directory::new();
    let path = directory.path().join("a socket");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    let options = TransportOptions::default().proxy(Proxy::http("h", 1).unwrap());
    let address = Address::unix(&path);
    check_echo(&mut open(&address, &options).await.unwrap()).await;
    let url = format!("unix://{}", path.display()).replace(' ', "%20");
    check_echo(&mut crate::peer::open(&url, &options).await).await;
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_told() {
    let error = fail(
        "unix:///nonexistent/mqtt.sock",
        &TransportOptions::default(),
    )
    .await;
    let expected = "cannot connect to unix:///nonexistent/mqtt.sock: /nonexistent/mqtt.sock: No such file or directory";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.step(), Step::Connect);
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(!error.is_permanent());
}
