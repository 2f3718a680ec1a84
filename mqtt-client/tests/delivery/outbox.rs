//! The outbox on disk: what was accepted before the process was killed arrives after it has started again.
//!
//! The process is this test program, called again for the one test [`the_process`] with the rest in its
//! environment.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fastrand::Rng;
use mqtt_client::outbox::RedbOutbox;
use mqtt_client::{Client, QoS, ReasonCode, Version};
use mqtt_codec::Packet;

use crate::broker::{Broker, Kind, Sessions};
use crate::directory::Directory;
use crate::fake_broker::{FakeBroker, Session};
use crate::ledger::{Outcome, Promise};
use crate::parties::{Book, Reader, builder, settle};
use crate::proxy::{Plan, Proxy};
use crate::seeds::seeds;
use crate::soon;

const ADDRESS: &str = "DELIVERY_TEST_ADDRESS";
const VERSION: &str = "DELIVERY_TEST_VERSION";
const OUTBOX: &str = "DELIVERY_TEST_OUTBOX";
/// If it is there, nothing is published before there is a connection.
const CONNECTED: &str = "DELIVERY_TEST_CONNECTED";
/// The number of the first message to publish; none: only those that are there are delivered.
const FIRST: &str = "DELIVERY_TEST_FIRST";

/// What the process says of a message, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It is about to be published.
    Offered(u64),
    /// It is accepted, and in the outbox.
    Accepted(u64),
}

/// Not a test of its own: the process that publishes, and is killed.
#[tokio::test]
#[ignore = "it is the child of another test"]
async fn the_process() {
    let address: SocketAddr = env::var(ADDRESS).unwrap().parse().unwrap();
    let version = match env::var(VERSION).unwrap().as_str() {
        "5" => Version::V5,
        _ => Version::V3_1_1,
    };
    let outbox = RedbOutbox::open(env::var(OUTBOX).unwrap()).unwrap();
    let client = builder(address, version, "publisher")
        // A CONNECT of the process before may arrive after ours.
        .retry_on([ReasonCode::SessionTakenOver])
        .outbox(outbox)
        .start()
        .unwrap();
    if env::var_os(CONNECTED).is_some() {
        let mut state = client.state();
        while !state.now().is_connected() {
            state.changed().await;
        }
    }
    let Ok(first) = env::var(FIRST) else {
        let drain = client.disconnect().drain(Duration::from_secs(30));
        let report = drain.await.unwrap();
        assert!(report.undelivered.is_empty(), "{report:?}");
        println!("done");
        return;
    };
    let first: u64 = first.parse().unwrap();
    for number in first.. {
        let (topic, qos) = topic_and_qos(number);
        say(&format!("offered {number}"));
        let publish = client
            .publish(topic, format!("{number} x"))
            .qos(qos)
            .enqueue();
        // Its fate is the subscriber's to see.
        drop(publish.await.unwrap());
        say(&format!("accepted {number}"));
    }
}

fn topic_and_qos(number: u64) -> (&'static str, QoS) {
    if number.is_multiple_of(2) {
        ("t/1", QoS::AtLeastOnce)
    } else {
        ("t/2", QoS::ExactlyOnce)
    }
}

/// Lines must leave at once, and whole.
fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(format!("{text}\n").as_bytes()).unwrap();
    stdout.flush().unwrap();
}

fn process(address: SocketAddr, version: Version, outbox: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "outbox::the_process", "--ignored", "--nocapture"])
        .env(ADDRESS, address.to_string())
        .env(VERSION, version.level().to_string())
        .env(OUTBOX, outbox)
        .env_remove(FIRST)
        .env_remove(CONNECTED)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// What a process says, from a thread: it may be killed in the middle of a line.
fn follow(child: &mut Child) -> Receiver<Said> {
    let stdout = child.stdout.take().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            if let Some(said) = parse(&line) {
                // The test may have ended.
                let _ = sender.send(said);
            }
            line.clear();
        }
    });
    receiver
}

fn parse(line: &str) -> Option<Said> {
    // The test harness writes into the same line.
    let line = line.strip_suffix('\n')?;
    let number = |word| line.rsplit_once(word)?.1.parse().ok();
    number("offered ")
        .map(Said::Offered)
        .or_else(|| number("accepted ").map(Said::Accepted))
}

/// What is done besides killing the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Nothing; and the process is not killed before its CONNECT was answered, which would leave a doubt.
    None,
    /// Connections are cut. Of QoS 2 messages that may have been sent, nobody may know then.
    Cut,
    /// The broker has forgotten everything.
    Lost,
}

#[tokio::test]
async fn what_was_accepted_survives_the_process() {
    for trouble in [Trouble::None, Trouble::Cut, Trouble::Lost] {
        for seed in seeds(2) {
            for version in [Version::V3_1_1, Version::V5] {
                survives(trouble, version, seed).await;
            }
        }
    }
}

async fn survives(trouble: Trouble, version: Version, seed: u64) {
    println!("seed {seed}, {trouble:?}, {version:?}");
    let mut random = Rng::with_seed(seed);
    let mut broker = Broker::start(Kind::Embedded).await.unwrap();
    let (promise, sessions, plan) = match trouble {
        Trouble::None => (Promise::Exact, Sessions::Kept, Plan::calm()),
        // Too few cuts for a message to be given up.
        Trouble::Cut => (
            Promise::Kept,
            Sessions::Kept,
            Plan::random(random.u64(..), 2),
        ),
        Trouble::Lost => (
            Promise::Lost,
            Sessions::Lost,
            Plan::random(random.u64(..), 2),
        ),
    };
    let proxy = Proxy::start(broker.address(), plan);
    let directory = Directory::new();
    let outbox = directory.path("outbox");
    let book = Book::new(QoS::ExactlyOnce);
    let subscriber = builder(broker.address(), version, "subscriber")
        .start()
        .unwrap();
    let _reader = Reader::start(&subscriber, book.clone()).await;

    let mut last = 0;
    for _ in 0..3 {
        let mut command = process(proxy.address(), version, &outbox);
        command.env(FIRST, (last + 1).to_string());
        if trouble == Trouble::None {
            command.env(CONNECTED, "");
        }
        let mut child = command.spawn().unwrap();
        let said = follow(&mut child);
        let enough = last + random.u64(1..60);
        let accepts = async {
            while last < enough {
                match said.try_recv() {
                    Ok(said) => last = note(&book, trouble, said),
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        soon("enough messages", accepts).await;
        // It is killed in the middle of something.
        tokio::time::sleep(Duration::from_micros(random.u64(..2000))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        last = said
            .iter()
            .map(|said| note(&book, trouble, said))
            .last()
            .unwrap_or(last);
        println!("killed after message {last}");
        if random.bool() {
            broker.kill(sessions).await;
            broker.restart().await;
        }
    }
    let mut last_process = process(proxy.address(), version, &outbox);
    delivers_the_rest(last_process.spawn().unwrap()).await;
    settle(&book, promise).await;
    let broken = book.open().broken(promise);
    assert!(broken.is_empty(), "not as promised:\n{broken}");
}

/// Notes what the process said, and gives the number of the message.
fn note(book: &Book, trouble: Trouble, said: Said) -> u64 {
    let mut ledger = book.open();
    let (number, outcome) = match said {
        Said::Offered(number) => {
            let (topic, qos) = topic_and_qos(number);
            ledger.accept(topic, number, qos);
            (number, Outcome::Offered)
        }
        Said::Accepted(number)
            if trouble == Trouble::Cut && topic_and_qos(number).1 == QoS::ExactlyOnce =>
        {
            (number, Outcome::Unknown)
        }
        Said::Accepted(number) => (number, Outcome::Delivered),
    };
    // Numbers count from 1, without a gap.
    ledger.settle(usize::try_from(number - 1).unwrap(), outcome);
    number
}

async fn delivers_the_rest(mut child: Child) {
    let end = async {
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(40), end).await {
        Ok(status) => assert!(status.success(), "{status}"),
        Err(_) => {
            child.kill().unwrap();
            panic!("it does not end");
        }
    }
}

/// A client with this outbox, which is in one process with the client before.
fn with_outbox(broker: &FakeBroker, version: Version, outbox: &Path) -> Client {
    let outbox = RedbOutbox::open(outbox).unwrap();
    builder(broker.address(), version, "client")
        .outbox(outbox)
        .start()
        .unwrap()
}

/// Accepts a message of QoS 2, and waits until it is in the outbox.
async fn accept(client: &Client, payload: &'static str) {
    let publish = client.publish("t", payload).qos(QoS::ExactlyOnce);
    drop(soon("the outbox", publish.enqueue()).await.unwrap());
}

/// Ends a client at once. The outbox is closed when this returns.
async fn end(client: Client) {
    let disconnect = client.disconnect().drain(Duration::ZERO);
    soon("the end", disconnect.into_future()).await.unwrap();
}

/// What was accepted without a connection was certainly not sent: the next process sends it, whatever sessions there are.
#[tokio::test]
async fn what_was_not_sent_is_sent_by_the_next_process() {
    for version in [Version::V3_1_1, Version::V5] {
        for session in [Session::New, Session::Present] {
            let directory = Directory::new();
            let outbox = directory.path("outbox");
            let mut broker = FakeBroker::start();
            broker.deafen();
            let client = with_outbox(&broker, version, &outbox);
            accept(&client, "first").await;
            end(client).await;
            broker.listen();
            let _client = with_outbox(&broker, version, &outbox);
            let mut link = broker.accept(session).await;
            assert_eq!(link.publish().await.payload, "first");
        }
    }
}

/// The same after a connection, over which others were sent: of those nobody knows, if the session is lost.
#[tokio::test]
async fn what_may_have_been_sent_is_not_sent_to_a_new_session() {
    for version in [Version::V3_1_1, Version::V5] {
        for session in [Session::New, Session::Present] {
            let directory = Directory::new();
            let outbox = directory.path("outbox");
            let mut broker = FakeBroker::start();
            let client = with_outbox(&broker, version, &outbox);
            let mut link = broker.accept(Session::New).await;
            accept(&client, "sent").await;
            assert_eq!(link.publish().await.payload, "sent");
            broker.deafen();
            link.reset();
            let mut state = client.state();
            soon("the loss", async {
                while state.now().is_connected() {
                    state.changed().await;
                }
            })
            .await;
            accept(&client, "not sent").await;
            end(client).await;
            broker.listen();
            let _client = with_outbox(&broker, version, &outbox);
            let mut link = broker.accept(session).await;
            if session == Session::Present {
                let publish = link.publish().await;
                assert_eq!((&publish.payload[..], publish.dup), (&b"sent"[..], true));
            }
            // The server may have to be told that it can forget the first.
            let publish = loop {
                match link.packet().await {
                    Packet::Publish(publish) => break publish,
                    Packet::PubRel(_) => {}
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(
                (&publish.payload[..], publish.dup),
                (&b"not sent"[..], false)
            );
        }
    }
}

/// A process that was killed may have sent a CONNECT. If its answer was that of a new session, what is present now is not
/// what the messages were sent to.
#[tokio::test]
async fn a_connect_of_an_earlier_process_leaves_a_doubt() {
    for version in [Version::V3_1_1, Version::V5] {
        let directory = Directory::new();
        let outbox = directory.path("outbox");
        let broker = FakeBroker::start();
        let client = with_outbox(&broker, version, &outbox);
        let mut link = broker.accept(Session::New).await;
        accept(&client, "sent").await;
        assert_eq!(link.publish().await.payload, "sent");
        link.reset();
        // The answer does not arrive before the end.
        let unanswered = broker.connection().await;
        end(client).await;
        drop(unanswered);
        let client = with_outbox(&broker, version, &outbox);
        accept(&client, "new").await;
        let mut link = broker.accept(Session::Present).await;
        loop {
            match link.packet().await {
                Packet::Publish(publish) => {
                    assert_eq!(publish.payload, "new");
                    break;
                }
                Packet::PubRel(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
