//! A proxy that forwards TCP badly: late, in pieces, one way only, until the connection is cut.
//!
//! Where a connection is cut is a number of bytes, not a time: so a seed finds the same place again,
//! in whatever packet is there. Each proxy has its own loopback port and works until it is dropped.

mod plan;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub(crate) use self::plan::{Cut, Fate, Lane, Manner, Plan, Stall, Way};
use crate::port::Port;

/// How long the second direction may take to end when the first one has.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes read at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// The environment variable that has all bytes printed.
const TRACE: &str = "DELIVERY_TRACE";

/// A proxy that runs.
pub(crate) struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

/// What a test can demand at any time, besides the plan.
#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    /// New connections are refused.
    refuse: bool,
    /// Connections with a number below this are reset.
    reset_below: usize,
    /// Nothing is forwarded in these directions.
    hold_to_broker: bool,
    hold_to_client: bool,
}

impl Orders {
    const fn holds(&self, way: Way) -> bool {
        match way {
            Way::ToBroker => self.hold_to_broker,
            Way::ToClient => self.hold_to_client,
        }
    }
}

/// What the proxy has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Connections that were accepted.
    pub(crate) connections: usize,
    /// Connections that were ended by the plan.
    pub(crate) cuts: usize,
    /// All bytes forwarded.
    pub(crate) to_broker_bytes: usize,
    pub(crate) to_client_bytes: usize,
}

/// What a connection needs to know.
struct Shared {
    orders: watch::Receiver<Orders>,
    seen: Arc<Mutex<Seen>>,
}

/// Why forwarding in one direction has ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The sender has closed, and the receiver was told.
    Closed,
    Cut,
}

impl Proxy {
    /// Forwards to `broker`. The plan is printed, for the test that fails.
    pub(crate) fn start(broker: SocketAddr, plan: Plan) -> Self {
        println!("{plan}");
        let port = Port::new();
        let (address, listener) = (port.address(), port.listener());
        let (orders, receiver) = watch::channel(Orders::default());
        let seen = Arc::default();
        let shared = Shared {
            orders: receiver,
            seen: Arc::clone(&seen),
        };
        let task = tokio::spawn(accept(port, listener, broker, plan, shared));
        Self {
            address,
            orders,
            seen,
            task,
        }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Resets all connections that there are.
    pub(crate) fn reset_all(&self) {
        let connections = self.seen().connections;
        self.orders
            .send_modify(|orders| orders.reset_below = connections);
    }

    /// Refuses new connections until `accept_again`.
    pub(crate) fn refuse(&self) {
        self.orders.send_modify(|orders| orders.refuse = true);
    }

    pub(crate) fn accept_again(&self) {
        self.orders.send_modify(|orders| orders.refuse = false);
    }

    /// Forwards nothing in this direction until `release`.
    pub(crate) fn hold(&self, way: Way) {
        self.orders.send_modify(|orders| match way {
            Way::ToBroker => orders.hold_to_broker = true,
            Way::ToClient => orders.hold_to_client = true,
        });
    }

    pub(crate) fn release(&self) {
        self.orders.send_modify(|orders| {
            orders.hold_to_broker = false;
            orders.hold_to_client = false;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections end with the set that holds their tasks.
        self.task.abort();
    }
}

/// Accepts connections, or refuses them, for ever.
async fn accept(
    port: Port,
    listener: TcpListener,
    broker: SocketAddr,
    plan: Plan,
    mut shared: Shared,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            client = next(listener.as_ref()) => {
                // That client has gone again.
                let Ok(client) = client else { continue };
                let number = shared.seen.lock().unwrap().connections;
                shared.seen.lock().unwrap().connections += 1;
                let connection = Connection {
                    number,
                    fate: plan.fate(number),
                    orders: shared.orders.clone(),
                    seen: Arc::clone(&shared.seen),
                };
                connections.spawn(connection.live(client, broker));
            }
            Some(cut) = connections.join_next() => {
                let then_refuse = cut.expect("a connection's task does not panic");
                if !then_refuse.is_zero() {
                    listener = None;
                    tokio::time::sleep(then_refuse).await;
                }
            }
            changed = shared.orders.changed() => changed.expect("its sender ends this task"),
        }
        let refuse = shared.orders.borrow_and_update().refuse;
        match (&listener, refuse) {
            (Some(_), true) => listener = None,
            (None, false) => listener = Some(port.listener()),
            (Some(_), false) | (None, true) => {}
        }
    }
}

async fn next(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

/// One connection, from a client to the broker.
struct Connection {
    number: usize,
    fate: Fate,
    orders: watch::Receiver<Orders>,
    seen: Arc<Mutex<Seen>>,
}

impl Connection {
    /// Forwards until the end, and says for how long new connections are to be refused then.
    async fn live(self, mut client: TcpStream, broker: SocketAddr) -> Duration {
        let Ok(mut broker) = TcpStream::connect(broker).await else {
            // A broker that is not there: the client sees that its connection ends.
            reset(&client);
            return Duration::ZERO;
        };
        for stream in [&client, &broker] {
            // What is small and late is so on purpose.
            stream.set_nodelay(true).unwrap();
        }
        let cut = {
            let (from_client, to_client) = client.split();
            let (from_broker, to_broker) = broker.split();
            let mut orders = self.orders.clone();
            let told = orders.wait_for(|orders| orders.reset_below > self.number);
            tokio::select! {
                ended = Self::both(
                    self.carry(from_client, to_broker, Way::ToBroker),
                    self.carry(from_broker, to_client, Way::ToClient),
                ) => (ended == Ended::Cut).then_some(self.fate.cut).flatten(),
                _ = told => Some(Cut {
                    way: Way::ToClient,
                    after_bytes: 0,
                    manner: Manner::Reset,
                    then_refuse: Duration::ZERO,
                }),
            }
        };
        let Some(cut) = cut else {
            return Duration::ZERO;
        };
        self.seen.lock().unwrap().cuts += 1;
        if let Manner::Silence(lasts) = cut.manner {
            tokio::time::sleep(lasts).await;
        }
        if cut.manner != Manner::Close {
            reset(&client);
            reset(&broker);
        }
        cut.then_refuse
    }

    /// Both directions. A cut of one is the end of both; one that was closed leaves the other time.
    async fn both(
        to_broker: impl Future<Output = Ended>,
        to_client: impl Future<Output = Ended>,
    ) -> Ended {
        tokio::pin!(to_broker, to_client);
        tokio::select! {
            ended = &mut to_broker => last(ended, to_client).await,
            ended = &mut to_client => last(ended, to_broker).await,
        }
    }

    /// Forwards in one direction.
    async fn carry(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, way: Way) -> Ended {
        let lane = self.fate.lane(way);
        let cut_after = self.fate.cut_after(way).unwrap_or(usize::MAX);
        let (mut carried, mut stall) = (0, lane.stall);
        let mut orders = self.orders.clone();
        let mut buffer = vec![0; BUFFER_BYTES];
        while carried < cut_after {
            if let Some(due) = stall.take_if(|stall| stall.after_bytes <= carried) {
                tokio::time::sleep(due.lasts).await;
            }
            let before_stall = stall.map_or(usize::MAX, |stall| stall.after_bytes - carried);
            let bytes_max = (cut_after - carried)
                .min(before_stall)
                .min(lane.chunk_bytes_max)
                .min(BUFFER_BYTES);
            let bytes = match from.read(&mut buffer[..bytes_max]).await {
                Ok(0) | Err(_) => break,
                Ok(bytes) => bytes,
            };
            if !lane.delay.is_zero() {
                tokio::time::sleep(lane.delay).await;
            }
            if orders.wait_for(|orders| !orders.holds(way)).await.is_err() {
                break;
            }
            if to.write_all(&buffer[..bytes]).await.is_err() {
                break;
            }
            carried += bytes;
            if std::env::var_os(TRACE).is_some() {
                let Self { number, .. } = self;
                println!("connection {number} {way:?} {:02x?}", &buffer[..bytes]);
            }
            let mut seen = self.seen.lock().unwrap();
            match way {
                Way::ToBroker => seen.to_broker_bytes += bytes,
                Way::ToClient => seen.to_client_bytes += bytes,
            }
        }
        if carried == cut_after {
            return Ended::Cut;
        }
        // It may be gone, too.
        let _ = to.shutdown().await;
        Ended::Closed
    }
}

/// How both directions end, when one has ended so.
async fn last(first: Ended, second: impl Future<Output = Ended>) -> Ended {
    match first {
        Ended::Cut => Ended::Cut,
        Ended::Closed => tokio::time::timeout(LINGER, second)
            .await
            .unwrap_or(Ended::Closed),
    }
}

/// The stream will end with a reset, not an orderly end, when it is dropped.
fn reset(stream: &TcpStream) {
    // One that was reset by its peer has no options any more.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::soon;

    /// Answers each connection with what it sends.
    fn echo() -> SocketAddr {
        let port = Port::new();
        let (address, listener) = (port.address(), port.listener());
        tokio::spawn(async move {
            let _port = port;
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    // It may be cut.
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    fn one(fate: Fate) -> Plan {
        Plan { fates: vec![fate] }
    }

    fn cut(way: Way, after_bytes: usize, manner: Manner) -> Plan {
        let cut = Cut {
            way,
            after_bytes,
            manner,
            then_refuse: Duration::ZERO,
        };
        one(Fate {
            cut: Some(cut),
            ..Fate::default()
        })
    }

    fn pattern(bytes: usize) -> Vec<u8> {
        (0..bytes)
            .map(|index| u8::try_from(index % 251).unwrap())
            .collect()
    }

    /// Sends all of it, and reads until the end, if there is one.
    async fn exchange(proxy: &Proxy, bytes: &[u8]) -> (Vec<u8>, io::Result<()>) {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let mut received = Vec::new();
        let send = async {
            // It may be cut.
            let _ = write.write_all(bytes).await;
            let _ = write.shutdown().await;
        };
        let (_, end) = soon("the end", async {
            tokio::join!(send, read.read_to_end(&mut received))
        })
        .await;
        (received, end.map(|_| ()))
    }

    #[tokio::test]
    async fn without_a_plan_everything_arrives() {
        let proxy = Proxy::start(echo(), Plan::calm());
        let bytes = pattern(300_000);
        let (received, end) = exchange(&proxy, &bytes).await;
        assert!(received == bytes);
        end.unwrap();
        let seen = proxy.seen();
        assert_eq!((seen.connections, seen.cuts), (1, 0));
        assert_eq!(seen.to_broker_bytes, bytes.len());
        assert_eq!(seen.to_client_bytes, bytes.len());
    }

    #[tokio::test]
    async fn small_chunks_and_stalls_change_nothing() {
        let lane = Lane {
            chunk_bytes_max: 7,
            delay: Duration::from_millis(1),
            stall: Some(Stall {
                after_bytes: 30,
                lasts: Duration::from_millis(60),
            }),
        };
        let plan = one(Fate {
            to_broker: lane,
            to_client: lane,
            cut: None,
        });
        let proxy = Proxy::start(echo(), plan);
        let start = std::time::Instant::now();
        let (received, end) = exchange(&proxy, &pattern(200)).await;
        assert_eq!(received, pattern(200));
        end.unwrap();
        // What the stalls and delays of one direction take.
        assert!(start.elapsed() >= Duration::from_millis(60 + 200 / 7));
    }

    #[tokio::test]
    async fn a_cut_forwards_so_many_bytes_exactly() {
        for after_bytes in [0, 1, 99, 20_000] {
            let proxy = Proxy::start(echo(), cut(Way::ToClient, after_bytes, Manner::Close));
            let (received, _) = exchange(&proxy, &pattern(30_000)).await;
            assert_eq!(received.len(), after_bytes);
            assert_eq!(proxy.seen().to_client_bytes, after_bytes);

            let proxy = Proxy::start(echo(), cut(Way::ToBroker, after_bytes, Manner::Close));
            let (received, _) = exchange(&proxy, &pattern(30_000)).await;
            assert!(received.len() <= after_bytes);
            let seen = proxy.seen();
            assert_eq!((seen.to_broker_bytes, seen.cuts), (after_bytes, 1));

            // The next connection is left alone.
            let (received, end) = exchange(&proxy, &pattern(30_000)).await;
            assert_eq!(received.len(), 30_000);
            end.unwrap();
        }
    }

    #[tokio::test]
    async fn a_reset_is_seen_as_one() {
        let silence = Manner::Silence(Duration::from_millis(30));
        for manner in [Manner::Reset, silence] {
            let proxy = Proxy::start(echo(), cut(Way::ToClient, 5, manner));
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            let mut received = Vec::new();
            let end = soon("the reset", stream.read_to_end(&mut received)).await;
            assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }

    #[tokio::test]
    async fn after_a_cut_connections_may_be_refused() {
        let mut plan = cut(Way::ToBroker, 0, Manner::Close);
        let cut = plan.fates[0].cut.as_mut().unwrap();
        cut.then_refuse = Duration::from_millis(100);
        let proxy = Proxy::start(echo(), plan);
        let (received, _) = exchange(&proxy, b"").await;
        assert_eq!(received, b"");
        let mut refused = 0;
        soon("acceptance", async {
            while TcpStream::connect(proxy.address()).await.is_err() {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(refused > 2, "{refused}");
    }

    #[tokio::test]
    async fn it_does_as_told() {
        let proxy = Proxy::start(echo(), Plan::calm());
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(b"a").await.unwrap();
        assert_eq!(soon("the echo", stream.read_u8()).await.unwrap(), b'a');

        proxy.hold(Way::ToClient);
        stream.write_all(b"b").await.unwrap();
        let pause = Duration::from_millis(50);
        tokio::time::timeout(pause, stream.read_u8())
            .await
            .unwrap_err();
        assert_eq!(proxy.seen().to_broker_bytes, 2);
        proxy.release();
        assert_eq!(soon("the echo", stream.read_u8()).await.unwrap(), b'b');

        proxy.refuse();
        soon("refusal", async {
            while TcpStream::connect(proxy.address()).await.is_ok() {}
        })
        .await;
        proxy.reset_all();
        let end = soon("the reset", stream.read_u8()).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        proxy.accept_again();
        soon("acceptance", async {
            while TcpStream::connect(proxy.address()).await.is_err() {}
        })
        .await;
    }

    #[tokio::test]
    async fn without_a_broker_connections_end() {
        let nobody = Port::new();
        let proxy = Proxy::start(nobody.address(), Plan::calm());
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let end = soon("the end", stream.read_u8()).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    }
}
