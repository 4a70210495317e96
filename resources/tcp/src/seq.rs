//! Sequence numbers (RFC 9293, section 3.4): 32 bits that wrap around.
//!
//! There is no `Ord`: the order of two numbers is defined only while they are less than 2³¹ apart.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A sequence number.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether this comes before `other`.
    #[must_use]
    pub const fn before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) > 1 << 31
    }

    /// Whether this comes after `other`.
    #[must_use]
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// The distance from `earlier` to this, modulo 2³².
    #[must_use]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The distance from `earlier` to this; zero when `earlier` comes after it.
    #[must_use]
    pub const fn beyond(self, earlier: Self) -> u32 {
        if self.after(earlier) {
            self.since(earlier)
        } else {
            0
        }
    }

    /// The earlier of the two.
    #[must_use]
    pub const fn min(self, other: Self) -> Self {
        if other.before(self) { other } else { self }
    }

    /// The later of the two.
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if other.after(self) { other } else { self }
    }

    /// Whether this is in `start..end`.
    #[must_use]
    pub const fn within(self, start: Self, end: Self) -> bool {
        self.since(start) < end.since(start)
    }
}

impl Add<u32> for Seq {
    type Output = Self;

    fn add(self, length: u32) -> Self {
        Self(self.0.wrapping_add(length))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, length: u32) {
        *self = *self + length;
    }
}

impl Sub<u32> for Seq {
    type Output = Self;

    fn sub(self, length: u32) -> Self {
        Self(self.0.wrapping_sub(length))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Seq;

    #[test]
    fn order_holds_across_the_wrap() {
        let (low, high) = (Seq(u32::MAX - 5), Seq(10));
        assert!(low.before(high) && high.after(low) && !high.before(low));
        assert_eq!(high.since(low), 16);
        assert_eq!((high.beyond(low), low.beyond(high)), (16, 0));
        assert_eq!((low.min(high), low.max(high)), (low, high));
        assert!(Seq(0).within(low, high) && low.within(low, high) && !high.within(low, high));
        assert!(!low.before(low) && !low.within(low, low));
    }
}
