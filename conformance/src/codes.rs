//! Reason codes that a test allows.

/// One or several reason codes.
pub(crate) struct Codes(pub(crate) Vec<u8>);

impl From<u8> for Codes {
    fn from(code: u8) -> Self {
        Self(vec![code])
    }
}

impl<const N: usize> From<[u8; N]> for Codes {
    fn from(codes: [u8; N]) -> Self {
        Self(codes.to_vec())
    }
}
