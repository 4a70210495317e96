//! How many bytes an interface's device has at one time.
//!
//! Key type: [`Limit`].
//!
//! What the device has, no scheduler chooses any more, and whoever comes next waits until it is sent:
//! with segmentation a ring holds megabytes. So no more is given to it than keeps the link busy until
//! somebody looks again. How much that is, is found by trying (as Linux's dynamic queue limits do): if
//! the device ran dry while somebody waited, it was too little; what was left every time that somebody
//! looked was too much.

/// The least limit in bytes: the longest frame, nearly.
const LEAST: u64 = 64 << 10;
/// The limit at first, and the greatest.
const FIRST: u64 = 128 << 10;
const MOST: u64 = 16 << 20;
/// How long something has to be left over to be too much, in nanoseconds.
const PERIOD_NS: u64 = 250_000_000;

/// The bytes that are on their way, and how many there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    bytes: u64,
    limit: u64,
    /// Somebody was refused since it was last looked.
    is_felt: bool,
    /// The fewest bytes that were left when it was looked, in this period; and when that began.
    lowest: u64,
    since_ns: u64,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            bytes: 0,
            limit: FIRST,
            is_felt: false,
            lowest: u64::MAX,
            since_ns: 0,
        }
    }
}

impl Limit {
    /// Whether a frame of so many bytes may go now; one may always.
    pub(super) const fn admits(&mut self, bytes: u64) -> bool {
        let admits = self.bytes == 0 || self.bytes + bytes <= self.limit;
        self.is_felt |= !admits;
        admits
    }

    /// So many bytes were given to the device.
    pub(super) const fn give(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// So many came back.
    pub(super) const fn take(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// All that came back was taken.
    pub(super) fn looked(&mut self, now_ns: u64) {
        if core::mem::take(&mut self.is_felt) && self.bytes == 0 {
            self.limit = (2 * self.limit).min(MOST);
            self.begin(now_ns);
            return;
        }
        self.lowest = self.lowest.min(self.bytes);
        if now_ns >= self.since_ns.saturating_add(PERIOD_NS) {
            let less = self.limit.saturating_sub(self.lowest / 2);
            self.limit = less.max(LEAST);
            self.begin(now_ns);
        }
    }

    fn begin(&mut self, now_ns: u64) {
        self.lowest = u64::MAX;
        self.since_ns = now_ns;
    }
}

#[cfg(test)]
mod tests;
