//! The scheduling trace: a hash over every dispatch, to tell whether two runs were the same.

use vortex_toolkit::Head;
use vortex_toolkit::ids::CoreId;

/// The trace so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    hash: u64,
    dispatches: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            hash: 0x243f_6a88_85a3_08d3,
            dispatches: 0,
        }
    }
}

impl Trace {
    /// A request was dispatched.
    pub(crate) fn dispatch(&mut self, now: u64, core: CoreId, head: &Head, number: u64) {
        self.dispatches += 1;
        let place = u64::from(core.0) << 48 | u64::from(head.destination.0);
        for word in [now, place, u64::from(head.activity.0), number] {
            // The finisher of MurmurHash3: every bit of the state and the word counts.
            let mut z = (self.hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
            z = (z ^ (z >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
            self.hash = z ^ (z >> 33);
        }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn dispatches(&self) -> u64 {
        self.dispatches
    }
}
