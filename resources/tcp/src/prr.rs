//! Proportional rate reduction (RFC 6937, and RFC 9937's rule for the part below the threshold):
//! in fast recovery the window shrinks as data arrives, not at once.

/// The state of one recovery, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RateReduction {
    /// What was in flight when it began.
    flight: u64,
    delivered: u64,
    sent: u64,
}

impl RateReduction {
    /// Recovery begins with so much outstanding.
    pub(crate) fn new(flight: u32) -> Self {
        Self {
            flight: u64::from(flight.max(1)),
            delivered: 0,
            sent: 0,
        }
    }

    /// So much was sent.
    pub(crate) fn sent(&mut self, bytes: u32) {
        self.sent += u64::from(bytes);
    }

    /// So much has arrived. Returns the congestion window. `is_progress`: the acknowledgment moved
    /// forward and shows no further loss.
    pub(crate) fn delivered(
        &mut self,
        bytes: u32,
        pipe: u32,
        threshold: u32,
        mss: u32,
        is_progress: bool,
    ) -> u32 {
        self.delivered += u64::from(bytes);
        let (pipe_bytes, target) = (u64::from(pipe), u64::from(threshold));
        let mut send = if pipe_bytes > target {
            (self.delivered * target)
                .div_ceil(self.flight)
                .saturating_sub(self.sent)
        } else {
            let mut limit = self
                .delivered
                .saturating_sub(self.sent)
                .max(u64::from(bytes));
            if is_progress {
                limit += u64::from(mss);
            }
            limit.min(target - pipe_bytes)
        };
        if self.sent == 0 {
            // The first retransmission does not wait.
            send = send.max(u64::from(mss));
        }
        u32::try_from(pipe_bytes + send).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_shrinks_in_proportion() {
        let mut prr = RateReduction::new(10_000);
        let mut pipe = 9_000;
        let mut sent = 0;
        for _ in 0..9 {
            pipe -= 1_000;
            let window = prr.delivered(1_000, pipe, 5_000, 1_000, false);
            while pipe + 1_000 <= window {
                prr.sent(1_000);
                sent += 1_000;
                pipe += 1_000;
            }
        }
        assert_eq!(
            sent, 5_000,
            "half as much is sent as has arrived, rounded up"
        );
    }
}
