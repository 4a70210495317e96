//! Numbers with a unit and a range: shares, priorities, cores, times, sizes.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use super::{ValueError, serde_as_text};

/// A share: what a client is entitled to, relative to the shares of the other clients of the same
/// scheduler. Also the weight of an activity.
///
/// A positive decimal number such as `20` or `33.3`, from 0.001 to 10,000, held in thousandths;
/// further decimals are rounded to the nearest thousandth. Shares need not sum to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    /// The smallest share, 0.001.
    pub const MIN: Self = Self(1);
    /// The largest share, 10,000: ratios up to ten million to one.
    pub const MAX: Self = Self(10_000_000);
    /// What a client gets that is given no share: 100.
    pub const DEFAULT: Self = Self(100_000);

    const EXPECTED: &str =
        "a decimal number from 0.001 to 10000, such as `20` or `33.3`, without a per cent sign";

    /// The share of so many thousandths, or `None` outside 1 to 10,000,000.
    #[must_use]
    pub const fn from_thousandths(thousandths: u32) -> Option<Self> {
        if thousandths >= Self::MIN.0 && thousandths <= Self::MAX.0 {
            Some(Self(thousandths))
        } else {
            None
        }
    }

    /// The share in thousandths, 1 to 10,000,000.
    #[must_use]
    pub const fn thousandths(self) -> u32 {
        self.0
    }

    /// This share times `numerator / denominator`, rounded to the nearest thousandth and kept
    /// within the range. A `denominator` of zero counts as one.
    #[must_use]
    pub fn scaled(self, numerator: u64, denominator: u64) -> Self {
        let denominator = u128::from(denominator.max(1));
        let scaled = (u128::from(self.0) * u128::from(numerator) + denominator / 2) / denominator;
        let within = scaled.clamp(u128::from(Self::MIN.0), u128::from(Self::MAX.0));
        Self(u32::try_from(within).unwrap_or(Self::MAX.0))
    }

    fn error(wrong: &'static str) -> ValueError {
        ValueError {
            wrong,
            expected: String::from(Self::EXPECTED),
        }
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl FromStr for Share {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some(size) = text.strip_prefix('-')
            && size.parse::<Self>().is_ok()
        {
            return Err(Self::error("is negative"));
        }
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) {
            return Err(Self::error("is not a number"));
        }
        let too_large = || Self::error("is too large");
        // Only digits are left, so what does not fit is too large.
        let whole = whole.parse::<u64>().map_err(|_| too_large())?;
        let mut thousandths = whole.checked_mul(1000).ok_or_else(too_large)?;
        for (place, digit) in [100, 10, 1].into_iter().zip(decimals.bytes()) {
            thousandths += place * u64::from(digit - b'0');
        }
        if decimals
            .as_bytes()
            .get(3)
            .is_some_and(|digit| *digit >= b'5')
        {
            thousandths += 1;
        }
        if thousandths == 0 {
            let zero = decimals.bytes().all(|digit| digit == b'0');
            return Err(Self::error(if zero { "is zero" } else { "is too small" }));
        }
        u32::try_from(thousandths)
            .ok()
            .and_then(Self::from_thousandths)
            .ok_or_else(too_large)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / 1000, self.0 % 1000);
        if thousandths == 0 {
            return write!(out, "{whole}");
        }
        let decimals = format!("{thousandths:03}");
        write!(out, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

/// A whole number written in decimal digits, within a range.
pub(super) fn whole_number(text: &str, range: (u64, u64), what: &str) -> Result<u64, ValueError> {
    let error = |wrong| ValueError {
        wrong,
        expected: format!("{what}, a whole number from {} to {}", range.0, range.1),
    };
    let negative = text.strip_prefix('-').unwrap_or("");
    if !negative.is_empty() && negative.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error("is negative"));
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error("is not a whole number"));
    }
    // Only digits are left, so what does not fit is too large.
    let number = text.parse::<u64>().unwrap_or(u64::MAX);
    if number < range.0 {
        return Err(error(if number == 0 {
            "is zero"
        } else {
            "is too small"
        }));
    }
    if number > range.1 {
        return Err(error("is too large"));
    }
    Ok(number)
}

/// The number of a core, counted from 0. Core 0 is the one the machine boots on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Core(pub u32);

impl Core {
    /// The largest number the file may name; whether the machine has the core is checked later.
    pub const MAX: Self = Self(65_535);
}

impl FromStr for Core {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let number = whole_number(text, (0, u64::from(Self::MAX.0)), "the number of a core")?;
        Ok(Self(u32::try_from(number).unwrap_or(Self::MAX.0)))
    }
}

impl fmt::Display for Core {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A strict priority, 0 to 255. **Zero goes first**: a ready client with a smaller number is
/// always chosen before one with a larger number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Priority(pub u8);

impl Priority {
    /// What a client gets that is given no priority: 128.
    pub const DEFAULT: Self = Self(128);

    /// Whether a client with this priority goes before one with the other.
    #[must_use]
    pub fn goes_before(self, other: Self) -> bool {
        self.0 < other.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl FromStr for Priority {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let what = "a priority (0 goes first)";
        let number = whole_number(text, (0, u64::from(u8::MAX)), what)?;
        Ok(Self(u8::try_from(number).unwrap_or(u8::MAX)))
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A length of time in microseconds, from 1 to 86,400,000,000 (a day).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Microseconds(u64);

impl Microseconds {
    /// The longest time, a day.
    pub const MAX: Self = Self(86_400_000_000);

    /// So many microseconds, or `None` outside 1 to 86,400,000,000.
    #[must_use]
    pub const fn new(microseconds: u64) -> Option<Self> {
        if microseconds >= 1 && microseconds <= Self::MAX.0 {
            Some(Self(microseconds))
        } else {
            None
        }
    }

    /// So many microseconds, with what is out of range moved to the nearest end of it.
    #[must_use]
    pub const fn of(microseconds: u64) -> Self {
        match Self::new(microseconds) {
            Some(time) => time,
            None if microseconds == 0 => Self(1),
            None => Self::MAX,
        }
    }

    /// The number of microseconds, at least 1.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Microseconds {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        whole_number(text, (1, Self::MAX.0), "a time in microseconds").map(Self)
    }
}

impl fmt::Display for Microseconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// An amount of memory in bytes, from 1 to 2^48; written as a whole number of bytes, or with the
/// unit `KiB`, `MiB`, `GiB` or `TiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

impl Bytes {
    /// The largest amount, 2^48 bytes: all that one x86-64 address space can hold.
    pub const MAX: Self = Self(1 << 48);

    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

    /// So many bytes, or `None` outside 1 to 2^48.
    #[must_use]
    pub const fn new(bytes: u64) -> Option<Self> {
        if bytes >= 1 && bytes <= Self::MAX.0 {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// The number of bytes, at least 1.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Bytes {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let unit = Self::UNITS.iter().find_map(|(unit, shift)| {
            text.strip_suffix(unit)
                .map(|number| (number.trim_end(), *shift))
        });
        let (number, shift) = unit.unwrap_or((text, 0));
        let what = match shift {
            0 => "an amount of memory in bytes, or with the unit KiB, MiB, GiB or TiB",
            _ => "an amount of memory in the unit given",
        };
        let count = whole_number(number, (1, Self::MAX.0 >> shift), what)?;
        Ok(Self(count << shift))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in Self::UNITS {
            if self.0.is_multiple_of(1 << shift) {
                return write!(out, "{}{unit}", self.0 >> shift);
            }
        }
        self.0.fmt(out)
    }
}

serde_as_text!(Share, Core, Priority, Microseconds, Bytes);
