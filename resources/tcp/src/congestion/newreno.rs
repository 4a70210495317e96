//! NewReno's congestion avoidance (RFC 5681, section 3.1): one segment more for each window of
//! acknowledged data, and half when something is lost.

use super::Acked;

/// What has been acknowledged towards the next segment.
#[derive(Clone, Debug, Default)]
pub(super) struct NewReno {
    credit: u32,
}

impl NewReno {
    /// How much larger the window becomes.
    pub(super) fn growth(&mut self, acked: Acked) -> u32 {
        self.credit = self.credit.saturating_add(acked.bytes);
        if self.credit < acked.window {
            return 0;
        }
        self.credit -= acked.window;
        self.credit = self.credit.min(acked.window);
        acked.mss
    }

    /// The window after a loss.
    pub(super) fn reduced(&mut self, window: u32) -> u32 {
        self.credit = 0;
        window / 2
    }
}
