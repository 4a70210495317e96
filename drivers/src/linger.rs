//! When to look what of a ring for sending was sent.
//!
//! Nobody hurries: it is done when something else is to be done at the interface, a while after
//! something was sent, or when the ring is full. Only then is the device asked to interrupt for it.

/// How long what was sent may stay there, in nanoseconds.
const LINGER_NS: u64 = 10_000_000;
/// How long the device may take for a frame, in nanoseconds.
const STUCK_NS: u64 = 10_000_000_000;

/// The times of one ring.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Linger {
    /// When to look, if there is anything.
    due: Option<u64>,
    /// When something was last sent into an empty ring, or taken back.
    moved_at: u64,
}

impl Linger {
    /// When to look, in nanoseconds.
    pub(crate) const fn due(&self) -> Option<u64> {
        self.due
    }

    /// A frame was inserted into a ring that was empty, or not.
    pub(crate) fn inserted(&mut self, was_empty: bool, now_ns: u64) {
        if was_empty {
            self.moved_at = now_ns;
        }
        self.due.get_or_insert(now_ns + LINGER_NS);
    }

    /// Somebody waits for room, and there is some already.
    pub(crate) const fn hurry(&mut self, now_ns: u64) {
        self.due = Some(now_ns);
    }

    /// It was looked: whether something was taken back, and whether something is left.
    pub(crate) fn looked(&mut self, has_moved: bool, is_empty: bool, now_ns: u64) {
        if has_moved {
            self.moved_at = now_ns;
        }
        self.due = (!is_empty).then_some(now_ns + LINGER_NS);
    }

    /// Whether a device that has a frame has not sent any for too long.
    pub(crate) const fn is_stuck(&self, is_empty: bool, now_ns: u64) -> bool {
        !is_empty && now_ns.saturating_sub(self.moved_at) >= STUCK_NS
    }
}
