//! Connections through real sockets of this machine: TCP, Unix sockets, TLS, WebSockets, and proxies.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and measures real time"
)]

mod tcp;
mod tls;
#[cfg(unix)]
mod unix;
mod websocket;

mod http_proxy;
mod socks_proxy;

mod certificates;
mod peer;
