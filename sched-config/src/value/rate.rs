//! How much a link carries.

use core::fmt;
use core::str::FromStr;

use super::number::whole_number;
use super::{ValueError, serde_as_text};

/// A rate in bits per second, from 1,000 to 10^12; written as a whole number, or with the unit
/// `kbit`, `Mbit` or `Gbit`, which are powers of 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitRate(u64);

impl BitRate {
    /// The smallest rate, 1 kbit/s.
    pub const MIN: Self = Self(1000);
    /// The largest, 1000 Gbit/s.
    pub const MAX: Self = Self(1_000_000_000_000);

    const UNITS: [(&str, u64); 3] = [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1000)];

    /// So many bits per second, or `None` outside 1,000 to 10^12.
    #[must_use]
    pub const fn new(bits_per_second: u64) -> Option<Self> {
        if bits_per_second >= Self::MIN.0 && bits_per_second <= Self::MAX.0 {
            Some(Self(bits_per_second))
        } else {
            None
        }
    }

    /// The number of bits per second.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for BitRate {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let unit = Self::UNITS.iter().find_map(|(unit, size)| {
            text.strip_suffix(unit)
                .map(|number| (number.trim_end(), *size))
        });
        let (number, size) = unit.unwrap_or((text, 1));
        let what = match size {
            1 => "a rate in bits per second, or with the unit kbit, Mbit or Gbit",
            _ => "a rate in the unit given",
        };
        let range = (Self::MIN.0.div_ceil(size), Self::MAX.0 / size);
        whole_number(number, range, what).map(|count| Self(count * size))
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in Self::UNITS {
            if self.0.is_multiple_of(size) {
                return write!(out, "{}{unit}", self.0 / size);
            }
        }
        self.0.fmt(out)
    }
}

serde_as_text!(BitRate);
