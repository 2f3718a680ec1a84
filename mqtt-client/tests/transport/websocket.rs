//! WebSockets: bytes in messages, whose borders mean nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use mqtt_client::Tls;
use mqtt_client::transport::{Step, TransportOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::certificates::{Authority, Clients, server_config};
use crate::peer::{
    assert_contains, assert_hidden, check_echo, fail, open, read, receive, send, serve, silent,
    within,
};

type Socket = WebSocketStream<TcpStream>;

#[allow(
    clippy::result_large_err,
    reason = "the signature is that of tungstenite's callback"
)]
fn choose_mqtt(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    // [MQTT-6.0.0-3]
    assert_eq!(request.headers()["sec-websocket-protocol"], "mqtt");
    // [MQTT-6.0.0-4]
    let mqtt = "mqtt".parse().unwrap();
    response
        .headers_mut()
        .insert("sec-websocket-protocol", mqtt);
    Ok(response)
}

async fn serve_websocket<F, Served>(each: F) -> SocketAddr
where
    F: Fn(Socket) -> Served + Clone + Send + Sync + 'static,
    Served: Future<Output = ()> + Send + 'static,
{
    serve(move |stream| {
        let each = each.clone();
        async move { each(accept_hdr_async(stream, choose_mqtt).await.unwrap()).await }
    })
    .await
}

/// A server that does something once, and then tells what comes.
async fn serve_once<F, Served>(first: F) -> (SocketAddr, mpsc::UnboundedReceiver<Message>)
where
    F: Fn(Socket) -> Served + Clone + Send + Sync + 'static,
    Served: Future<Output = Socket> + Send + 'static,
{
    let (sender, messages) = mpsc::unbounded_channel();
    let server = serve_websocket(move |socket| {
        let (first, sender) = (first.clone(), sender.clone());
        async move {
            let mut socket = first(socket).await;
            while let Some(Ok(message)) = socket.next().await {
                if sender.send(message).is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (server, messages)
}

async fn serve_messages(
    messages: &'static [Message],
) -> (SocketAddr, mpsc::UnboundedReceiver<Message>) {
    serve_once(move |mut socket| async move {
        for message in messages {
            socket.send(message.clone()).await.unwrap();
        }
        socket
    })
    .await
}

async fn echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        if message.is_binary() && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// A server that answers a request with these bytes, and then waits.
async fn serve_answer(answer: &'static str) -> SocketAddr {
    serve(move |mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        silent(stream).await;
    })
    .await
}

async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
}

fn url(server: SocketAddr) -> String {
    format!("ws://{server}")
}

fn options() -> TransportOptions {
    TransportOptions::default()
}

fn binary(bytes: &'static [u8]) -> Message {
    Message::Binary(Bytes::from_static(bytes))
}

fn frame(bytes: &'static [u8], data: Data, is_final: bool) -> Message {
    let payload = Bytes::from_static(bytes);
    Message::Frame(Frame::message(payload, OpCode::Data(data), is_final))
}

#[tokio::test]
async fn bytes_go_both_ways() {
    let server = serve_websocket(echo).await;
    let mut connection = open(&url(server), &options()).await;
    for _ in 0..3 {
        check_echo(&mut connection).await;
    }
}

#[tokio::test]
async fn the_request_is_as_asked_for() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    let server = serve(move |stream| {
        let sender = sender.clone();
        async move {
            #[allow(
                clippy::result_large_err,
                reason = "the signature is that of tungstenite's callback"
            )]
            let callback = |request: &Request, response| {
                sender.send(request.clone()).unwrap();
                choose_mqtt(request, response)
            };
            echo(accept_hdr_async(stream, callback).await.unwrap()).await;
        }
    })
    .await;
    let options = options()
        .resolve("broker.test", [server])
        .websocket_header("Authorization", "Bearer secret")
        .unwrap()
        .websocket_header("X-Many", "a")
        .unwrap()
        .websocket_header("X-Many", "b")
        .unwrap();
    assert_hidden(&options, "secret");
    let url = "ws://u:p@broker.test:8080/a%20b/mqtt?token=x%2By&client_id=c";
    let mut connection = open(url, &options).await;
    check_echo(&mut connection).await;
    let request = within(requests.recv()).await.unwrap();
    assert_eq!(request.uri(), "/a%20b/mqtt?token=x%2By");
    let headers = request.headers();
    assert_eq!(headers["host"], "broker.test:8080");
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(headers.get_all("x-many").iter().count(), 2);
    let connection = open("ws://broker.test", &options).await;
    let request = within(requests.recv()).await.unwrap();
    assert_eq!(request.uri(), "/mqtt");
    assert_eq!(request.headers()["host"], "broker.test");
    drop(connection);
}

/// [MQTT-6.0.0-2]
#[tokio::test]
async fn messages_may_be_parts_of_packets_and_several_of_them() {
    static MESSAGES: [Message; 6] = [
        Message::Binary(Bytes::from_static(b"ab")),
        Message::Binary(Bytes::from_static(b"")),
        Message::Binary(Bytes::from_static(b"cdefg")),
        Message::Ping(Bytes::from_static(b"!")),
        Message::Binary(Bytes::from_static(b"h")),
        Message::Binary(Bytes::from_static(b"ijkl")),
    ];
    let (server, _messages) = serve_messages(&MESSAGES).await;
    let mut connection = open(&url(server), &options()).await;
    assert_eq!(receive(&mut connection, 3).await, b"abc");
    assert_eq!(receive(&mut connection, 1).await, b"d");
    assert_eq!(receive(&mut connection, 8).await, b"efghijkl");
}

#[tokio::test]
async fn fragments_are_put_together() {
    let (server, _messages) = serve_once(|mut socket| async move {
        let frames = [
            frame(b"ab", Data::Binary, false),
            frame(b"", Data::Continue, false),
            Message::Ping(Bytes::from_static(b"between")),
            frame(b"cd", Data::Continue, false),
            frame(b"e", Data::Continue, true),
            binary(b"fg"),
        ];
        for frame in frames {
            socket.send(frame).await.unwrap();
        }
        socket
    })
    .await;
    let mut connection = open(&url(server), &options()).await;
    assert_eq!(receive(&mut connection, 7).await, b"abcdefg");
}

#[tokio::test]
async fn much_is_sent_in_messages_of_a_bounded_size() {
    let (server, mut messages) = serve_once(|socket| async { socket }).await;
    let mut connection = open(&url(server), &options()).await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|index| index as u8).collect();
    send(&mut connection, &bytes).await;
    let mut received = Vec::new();
    while received.len() < bytes.len() {
        // [MQTT-6.0.0-1]
        let Some(Message::Binary(part)) = within(messages.recv()).await else {
            panic!("something else than a binary message");
        };
        assert!(part.len() <= 64 * 1024, "{} bytes", part.len());
        received.extend_from_slice(&part);
    }
    assert_eq!(received, bytes);
}

/// The peer does not read: writes wait for it, and memory does not grow.
#[tokio::test]
async fn a_write_waits_for_the_socket() {
    let server = serve_websocket(|socket| async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        drop(socket);
    })
    .await;
    let mut connection = open(&url(server), &options()).await;
    let bytes = vec![0; 64 * 1024];
    let endless = async {
        for _ in 0..10_000 {
            connection.write_all(&bytes).await.unwrap();
        }
    };
    let written = tokio::time::timeout(Duration::from_secs(2), endless).await;
    assert!(written.is_err(), "the socket takes everything");
}

/// [MQTT-6.0.0-1]
#[tokio::test]
async fn text_ends_the_connection() {
    let (server, mut messages) = serve_once(|mut socket| async move {
        socket.send(binary(b"ab")).await.unwrap();
        socket.send(Message::text("text")).await.unwrap();
        socket
    })
    .await;
    let mut connection = open(&url(server), &options()).await;
    assert_eq!(receive(&mut connection, 2).await, b"ab");
    let error = read(&mut connection).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_contains(&error, "the server sent a text message");
    let Some(Message::Close(Some(close))) = within(messages.recv()).await else {
        panic!("no Close with a reason");
    };
    assert_eq!(close.code, CloseCode::Unsupported);
    assert_eq!(read(&mut connection).await.unwrap(), b"");
    assert!(connection.write_all(b"x").await.is_err());
}

#[tokio::test]
async fn a_ping_is_answered_where_it_is_read() {
    static PING: [Message; 1] = [Message::Ping(Bytes::from_static(b"are you there"))];
    let (server, mut messages) = serve_messages(&PING).await;
    let mut connection = open(&url(server), &options()).await;
    let reading = tokio::spawn(async move { read(&mut connection).await.map(|_| ()) });
    let pong = Message::Pong(Bytes::from_static(b"are you there"));
    assert_eq!(within(messages.recv()).await, Some(pong));
    reading.abort();
}

#[tokio::test]
async fn a_message_has_a_limit() {
    let whole = serve_once(|mut socket| async move {
        let _ = socket.send(Message::binary(vec![0; 5000])).await;
        socket
    });
    let fragments = serve_once(|mut socket| async move {
        let part = Bytes::from(vec![0; 900]);
        let begin = Frame::message(part.clone(), OpCode::Data(Data::Binary), false);
        let _ = socket.send(Message::Frame(begin)).await;
        for _ in 0..1000 {
            let more = Frame::message(part.clone(), OpCode::Data(Data::Continue), false);
            let _ = socket.send(Message::Frame(more)).await;
        }
        socket
    });
    for (server, _messages) in [whole.await, fragments.await] {
        let limited = options().websocket_message_bytes_max(4000);
        let mut connection = open(&url(server), &limited).await;
        let error = read(&mut connection).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_contains(&error, "too long");
    }
}

/// A frame that is only announced takes no memory.
#[tokio::test]
async fn a_frame_beyond_the_limit_is_refused_before_it_comes() {
    for length in [16 * 1024 * 1024 + 1, u64::from(u32::MAX) + 1, u64::MAX >> 1] {
        let (server, _messages) = serve_once(move |mut socket| async move {
            let mut header = vec![0x82, 0x7f];
            header.extend(length.to_be_bytes());
            socket.get_mut().write_all(&header).await.unwrap();
            socket
        })
        .await;
        let mut connection = open(&url(server), &options()).await;
        let error = read(&mut connection).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_contains(&error, &format!("{length} > 16777216"));
    }
}

#[tokio::test]
async fn a_close_is_the_end_or_tells_why() {
    let close = |code, reason: &'static str| {
        let close = CloseFrame {
            code,
            reason: reason.into(),
        };
        async move {
            serve_once(move |mut socket| {
                let close = close.clone();
                async move {
                    socket.send(binary(b"last")).await.unwrap();
                    socket.send(Message::Close(Some(close))).await.unwrap();
                    socket
                }
            })
            .await
        }
    };
    for code in [CloseCode::Normal, CloseCode::Away] {
        let (server, mut messages) = close(code, "goodbye").await;
        let mut connection = open(&url(server), &options()).await;
        assert_eq!(receive(&mut connection, 4).await, b"last");
        assert_eq!(read(&mut connection).await.unwrap(), b"");
        // It is answered without anything else being read or written.
        assert!(matches!(
            within(messages.recv()).await,
            Some(Message::Close(_))
        ));
        assert_eq!(read(&mut connection).await.unwrap(), b"");
    }
    let (server, _messages) = close(CloseCode::Policy, "not\nyou").await;
    let mut connection = open(&url(server), &options()).await;
    assert_eq!(receive(&mut connection, 4).await, b"last");
    let error = read(&mut connection).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert_contains(&error, "the server closed the WebSocket: 1008 not you");
    assert_eq!(read(&mut connection).await.unwrap(), b"");
}

#[tokio::test]
async fn a_shutdown_sends_the_close_after_what_was_written() {
    let (server, mut messages) = serve_once(|socket| async { socket }).await;
    let mut connection = open(&url(server), &options()).await;
    within(connection.write_all(b"DISCONNECT")).await.unwrap();
    within(connection.shutdown()).await.unwrap();
    assert_eq!(within(messages.recv()).await, Some(binary(b"DISCONNECT")));
    assert_eq!(within(messages.recv()).await, Some(Message::Close(None)));
    assert_eq!(read(&mut connection).await.unwrap(), b"");
}

#[tokio::test]
async fn a_server_that_goes_without_a_close_is_at_its_end() {
    let server = serve_websocket(|socket| async { drop(socket) }).await;
    let mut connection = open(&url(server), &options()).await;
    assert_eq!(read(&mut connection).await.unwrap(), b"");
    assert_eq!(read(&mut connection).await.unwrap(), b"");
}

#[tokio::test]
async fn an_answer_that_is_no_websocket_is_explained() {
    let cases = [
        (
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "the server answers 404 Not Found to the path /mqtt",
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\n\r\n",
            "the server answers 401 Unauthorized",
        ),
        (
            "HTTP/1.1 301 Moved Permanently\r\nLocation: /there\r\n\r\n",
            "the server answers 301 Moved Permanently, and points to /there",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "the server answers in HTTP, but as no WebSocket does",
        ),
        (
            "SSH-2.0-OpenSSH\r\n\r\n",
            "the server does not answer in HTTP",
        ),
        ("\x20\x02\x00\x00", "the server does not answer in HTTP"),
    ];
    for (answer, expected) in cases {
        let server = serve_answer(answer).await;
        let error = fail(&url(server), &options()).await;
        assert_contains(&error, &format!("WebSocket with {server}: {expected}"));
        assert_eq!(error.step(), Step::WebSocket);
        assert!(!error.is_permanent());
    }
    let closing = serve(|mut stream: TcpStream| async move {
        read_request(&mut stream).await;
    })
    .await;
    let error = fail(&url(closing), &options()).await;
    assert_contains(
        &error,
        "the server closed the connection instead of answering",
    );
}

/// [MQTT-6.0.0-4]
#[tokio::test]
async fn another_protocol_than_mqtt_is_refused() {
    let server = serve(|stream| async move {
        let _ = tokio_tungstenite::accept_async(stream).await;
    })
    .await;
    let error = fail(&url(server), &options()).await;
    assert_contains(&error, "the server did not choose the subprotocol mqtt");
    let server = serve(|stream| async move {
        #[allow(
            clippy::result_large_err,
            reason = "the signature is that of tungstenite's callback"
        )]
        let choose = |request: &Request, response| {
            let mut response = choose_mqtt(request, response)?;
            let chat = "chat".parse().unwrap();
            response
                .headers_mut()
                .insert("sec-websocket-protocol", chat);
            Ok(response)
        };
        let _ = accept_hdr_async(stream, choose).await;
    })
    .await;
    let error = fail(&url(server), &options()).await;
    assert_contains(&error, "subprotocol");
}

#[tokio::test]
async fn endless_headers_are_not_read_to_their_end() {
    let server = serve(|mut stream: TcpStream| async move {
        let begin = b"HTTP/1.1 101 Switching Protocols\r\n";
        let mut written = stream.write_all(begin).await;
        while written.is_ok() {
            written = stream.write_all(b"X-More: and more and more\r\n").await;
        }
    })
    .await;
    let error = fail(&url(server), &options()).await;
    assert_eq!(error.step(), Step::WebSocket);
    assert_contains(&error, "the server's answer is too long");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let server = serve(silent).await;
    let options = options().connect_timeout(Duration::from_millis(300));
    let error = fail(&url(server), &options).await;
    assert!(error.is_timeout());
    assert_eq!(error.step(), Step::WebSocket);
    assert_contains(
        &error,
        &format!("WebSocket with {server}: no answer after 300ms"),
    );
}

#[tokio::test]
async fn websockets_go_through_tls() {
    let authority = Authority::new("Test");
    let config = server_config(&authority.server("broker.test"), Clients::Anyone);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            let mut socket = accept_hdr_async(stream, choose_mqtt).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_binary() {
                    socket.send(message).await.unwrap();
                }
            }
        }
    })
    .await;
    let tls = Tls::no_roots().roots_pem(&authority.certificate).unwrap();
    let options = options().tls(tls).resolve("broker.test", [server]);
    let mut connection = open("wss://broker.test", &options).await;
    check_echo(&mut connection).await;
    let bytes = vec![7; 100_000];
    send(&mut connection, &bytes).await;
    assert_eq!(receive(&mut connection, bytes.len()).await, bytes);
}
