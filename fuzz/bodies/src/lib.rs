//! What the fuzz targets do: a function each, from any bytes to nothing, that panics on a defect.
//!
//! They are here, and not in the targets, so that a test can replay the corpus on any machine.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "to panic is how a body tells of a defect"
)]

mod connection;
mod decode;
mod engine;
mod frame;
mod packet;
mod roundtrip;
mod session;
mod topic;

pub use connection::connection;
pub use decode::decode;
pub use engine::engine;
pub use frame::frame;
pub use roundtrip::roundtrip;
pub use session::session;
pub use topic::topic;

/// What a target does.
#[derive(Clone, Copy)]
pub struct Body {
    /// The name of the target, and of its folder in `corpus`.
    pub name: &'static str,
    /// What it does with the bytes that the fuzzer made up.
    pub run: fn(&[u8]),
}

/// All of them.
pub const BODIES: [Body; 7] = [
    Body {
        name: "frame",
        run: frame,
    },
    Body {
        name: "decode",
        run: decode,
    },
    Body {
        name: "roundtrip",
        run: roundtrip,
    },
    Body {
        name: "topic",
        run: topic,
    },
    Body {
        name: "engine",
        run: engine,
    },
    Body {
        name: "connection",
        run: connection,
    },
    Body {
        name: "session",
        run: session,
    },
];
