//! How the builders put properties together, one by one.

use std::mem::discriminant;

use mqtt_codec::{EncodeError, Properties, Property, Text, UserProperty};

/// Sets a property, in place of one of its kind.
pub(crate) fn set(
    properties: &Properties,
    property: Property<'_>,
) -> Result<Properties, EncodeError> {
    let kind = discriminant(&property);
    let others = properties
        .iter()
        .filter(|other| discriminant(other) != kind);
    Properties::new(others.chain([property]))
}

/// Adds a user property behind those that are there.
pub(crate) fn add_user_property(
    properties: &Properties,
    name: &str,
    value: &str,
) -> Result<Properties, EncodeError> {
    let property = Property::UserProperty(UserProperty {
        name: text(name)?,
        value: text(value)?,
    });
    Properties::new(properties.iter().chain([property]))
}

/// A text that fits into a packet.
pub(crate) fn text(text: &str) -> Result<Text<&[u8]>, EncodeError> {
    Text::new(text.as_bytes()).map_err(|_| {
        if text.contains('\0') {
            EncodeError::NullCharacter
        } else {
            EncodeError::FieldTooLong
        }
    })
}
