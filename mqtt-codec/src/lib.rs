#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod error;
mod frame;
mod packet;
mod primitive;
mod property;
mod qos;
mod reason;
mod text;
mod topic;
mod version;

pub use error::{DecodeError, EncodeError};
pub use frame::{Cut, Frame, PACKET_BYTES_MAX, cut};
pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, EncodedPublish, Forward, Packet, PacketType, Publish,
    PublishQoS, ReasonCodes, RetainHandling, SubAck, Subscribe, Subscription, SubscriptionOptions,
    Subscriptions, TopicFilters, UnsubAck, Unsubscribe, Will,
};
pub use property::{Properties, Property, PropertyOwner, UserProperty};
pub use qos::{PacketId, QoS};
pub use reason::ReasonCode;
pub use text::Text;
pub use topic::{TopicFilter, TopicName, levels};
pub use version::Version;
