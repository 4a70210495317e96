//! Names of fixed length.

use core::fmt;

/// A name: UTF-8, cut at 48 bytes, filled up with zero bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name([u8; Self::LENGTH]);

impl Name {
    /// Its length in bytes.
    pub const LENGTH: usize = 48;

    /// The name, cut before the character that does not fit.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut end = name.len().min(Self::LENGTH);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; Self::LENGTH];
        bytes[..end].copy_from_slice(&name.as_bytes()[..end]);
        Self(bytes)
    }

    /// What [`Self::bytes`] gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The name; only as far as it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0);
        let bytes = &self.0[..end.unwrap_or(Self::LENGTH)];
        match core::str::from_utf8(bytes) {
            Ok(name) => name,
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        }
    }
}

impl Default for Name {
    fn default() -> Self {
        Self([0; Self::LENGTH])
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
