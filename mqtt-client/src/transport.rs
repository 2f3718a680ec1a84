//! From an [`Address`] to a stream of bytes that carries MQTT: names, sockets, proxies, TLS and
//! WebSockets. What the bytes say is known elsewhere.
//!
//! ```no_run
//! use mqtt_client::{Address, transport};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let address: Address = "wss://broker.example/mqtt".parse()?;
//! let options = transport::TransportOptions::default();
//! let connection = transport::open(&address, &options).await?;
//! # Ok(())
//! # }
//! ```

mod error;
mod options;
mod proxy;
mod route;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(unix)]
mod unix;
mod upgrade;
#[cfg(feature = "websocket")]
mod websocket;

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

pub use self::error::{ConnectError, Step};
#[cfg(feature = "websocket")]
pub use self::options::HeaderError;
pub use self::options::TransportOptions;
pub use self::proxy::{Proxy, ProxyError};
#[cfg(feature = "tls")]
pub use self::tls::{Tls, TlsError, TlsVersion};

use self::route::Route;
use self::upgrade::Upgrade;
use crate::address::{Address, Network, Place};

/// A stream of bytes in both directions, as MQTT needs it: in order, and whole.
///
/// Whatever is `AsyncRead` and `AsyncWrite` is one, such as a socket, or half of `tokio::io::duplex`.
/// Bytes that were written leave with `flush` at the latest. `shutdown` says farewell in the manner of
/// the transport: a WebSocket sends its Close, TLS its `close_notify`.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection for T {}

/// Connects to a server, through all that its address and the options ask for.
///
/// All IP addresses of a name are tried, IPv6 and IPv4 in turns, each with a head start of 250 ms before
/// the next one begins; the first that is connected goes on, and the others are dropped. Where the
/// handshakes that follow fail on one, or take more than half of the time that is left, the next one is
/// tried. The name is resolved at each call.
///
/// All of it together has the time of [`TransportOptions::connect_timeout`].
///
/// # Errors
///
/// [`ConnectError`] tells in one line what was tried, how far that came and why it ended there;
/// [`ConnectError::is_permanent`], whether it is of use to try again with the same address and options.
///
/// # Cancel safety
///
/// Dropping the future closes whatever it had opened. A look-up of a name goes on, on a thread of its
/// own, until the system gives up on it, and nobody hears the answer.
///
/// # Panics
///
/// Outside a tokio runtime with IO and time.
// [MQTT-4.2-1] [MQTT-7.1.2-1] of 3.1.1
pub async fn open(
    address: &Address,
    options: &TransportOptions,
) -> Result<Box<dyn Connection>, ConnectError> {
    let limit = options.connect_timeout;
    let mut progress = Progress::default();
    let opened = match timeout(limit, reach(address, options, &mut progress)).await {
        Ok(opened) => opened,
        Err(_) => Err(progress.time_is_up(limit)),
    };
    opened.map_err(|error| error.after(&progress.failed).to(address))
}

async fn reach(
    address: &Address,
    options: &TransportOptions,
    progress: &mut Progress,
) -> Result<Box<dyn Connection>, ConnectError> {
    match address.place() {
        Place::Network(network) => over_network(network, options, progress).await,
        #[cfg(unix)]
        Place::Socket(path) => {
            progress.at(Step::Connect, path.display());
            unix::connect(path).await
        }
        #[cfg(not(unix))]
        Place::Socket(_) => Err(ConnectError::unsupported(
            "this system has no Unix domain sockets",
        )),
    }
}

async fn over_network(
    network: &Network,
    options: &TransportOptions,
    progress: &mut Progress,
) -> Result<Box<dyn Connection>, ConnectError> {
    // What is wrong with the options is known before anybody is bothered.
    let upgrade = Upgrade::prepare(network, options).await?;
    let mut route = Route::find(network, options, progress).await?;
    let mut share = options.connect_timeout;
    loop {
        let reached = route.next(options, progress).await?;
        let upgraded = async {
            let stream = route.pass_proxy(reached, progress).await?;
            upgrade.apply(stream, progress).await
        };
        let upgraded = if route.is_exhausted() {
            upgraded.await
        } else {
            share /= 2;
            match timeout(share, upgraded).await {
                Ok(upgraded) => upgraded,
                Err(_) => Err(progress.time_is_up(share)),
            }
        };
        match upgraded {
            Err(error) if !error.is_permanent() && !route.is_exhausted() => {
                progress.failed.push(error.detail().to_owned());
            }
            done => return done,
        }
    }
}

/// How far an attempt has come, for the case that its time is up.
#[derive(Default)]
struct Progress {
    step: Step,
    /// Whom it is with.
    peer: String,
    /// What has failed before, in full.
    failed: Vec<String>,
}

impl Progress {
    fn at(&mut self, step: Step, peer: impl fmt::Display) {
        self.step = step;
        self.peer = peer.to_string();
    }

    fn time_is_up(&self, limit: Duration) -> ConnectError {
        ConnectError::timed_out(self.step, &self.peer, limit)
    }
}
