//! The values that stand between tags, each a type that cannot hold nonsense.
//!
//! Every type here is written in the file as text, is read by [`core::str::FromStr`] and written by
//! [`core::fmt::Display`], and goes through serde as that same text. So the kernel's reader and an
//! independent one on the host agree about what `33.3`, `64MiB` or `forever` means, and both refuse
//! the same nonsense. No type uses floating point: the kernel has none.

mod address;
mod number;
mod rate;
mod word;

pub use address::{Address, Gateway};
pub use number::{Bytes, Core, Microseconds, Priority, Share};
pub use rate::BitRate;
pub use word::{Congestion, LoadSharingPolicy, Metric, Right, Ttl};

use alloc::string::String;
use core::fmt;

/// Why a text is not a value: what is wrong with it and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// What is wrong with the text, as the end of a sentence that begins with the text itself.
    pub wrong: &'static str,
    /// What would have been right.
    pub expected: String,
}

impl fmt::Display for ValueError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: expected {}", self.wrong, self.expected)
    }
}

impl core::error::Error for ValueError {}

/// The text without the blanks around it, as XML counts blanks.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// Lets a type with `FromStr` and `Display` go through serde as its text.
macro_rules! serde_as_text {
    ($($type:ty),+) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = alloc::string::String::deserialize(deserializer)?;
                crate::value::trim(&text).parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
use serde_as_text;

#[cfg(test)]
mod tests;
