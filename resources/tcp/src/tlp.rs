//! Tail loss probes (RFC 8985, section 7): when acknowledgments stay away for two round trips, one
//! more segment asks for one, long before the retransmission timeout.

use crate::seq::Seq;
use crate::time::{Instant, MILLISECOND, Micros, SECOND};

/// No probe before that, as in the draft that came before the RFC
/// (draft-dukkipati-tcpm-tcp-loss-probe-01, section 2.1). Where a round trip takes less than a
/// millisecond, its smoothed time knows nothing of how long the peer's processor, or ours, may be with
/// others: twice it is over again and again without a loss.
const SHORTEST: Micros = 10 * MILLISECOND;

/// The probe that is on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct TailLossProbe {
    /// Where it ends, and whether it was data sent before.
    probe: Option<(Seq, bool)>,
}

/// What an acknowledgment says that matters to a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Its number.
    pub ack: Seq,
    /// A report that the probe's data came twice.
    pub is_duplicate: bool,
    /// It changes nothing: no data, no new SACK, no new window.
    pub is_plain: bool,
}

impl TailLossProbe {
    /// Whether a probe is on its way.
    pub(crate) fn is_out(&self) -> bool {
        self.probe.is_some()
    }

    /// Where the probe that is on its way ends.
    pub(crate) fn end(&self) -> Option<Seq> {
        self.probe.map(|(end, _)| end)
    }

    /// A probe has been sent. `is_retransmission`: that it is acknowledged may tell of a loss.
    pub(crate) fn sent(&mut self, end: Seq, is_retransmission: bool) {
        self.probe = Some((end, is_retransmission));
    }

    /// The timeout has overtaken it.
    pub(crate) fn cancel(&mut self) {
        self.probe = None;
    }

    /// Takes in an acknowledgment. Returns whether it shows that the probe has repaired a loss,
    /// which nothing else reports (section 7.4).
    #[must_use]
    pub(crate) fn answered(&mut self, answer: Answer) -> bool {
        let Some((end, is_retransmission)) = self.probe else {
            return false;
        };
        if answer.ack.before(end) {
            return false;
        }
        if !is_retransmission || answer.is_duplicate {
            self.probe = None;
            return false;
        }
        if answer.ack.after(end) {
            self.probe = None;
            return true;
        }
        if answer.is_plain {
            // Both the first transmission and the probe have been acknowledged.
            self.probe = None;
        }
        false
    }
}

/// When to probe, from now on (section 7.2): `single` when one segment is in flight, whose
/// acknowledgment the peer may delay.
pub(crate) fn timeout(smoothed: Option<Micros>, single: bool, delayed_ack: Micros) -> Micros {
    let Some(smoothed) = smoothed else {
        return SECOND;
    };
    let wait = if single { delayed_ack } else { 0 };
    (2 * smoothed + wait).max(SHORTEST)
}

/// The probe comes no later than the retransmission would.
pub(crate) fn deadline(now: Instant, wait: Micros, retransmission: Instant) -> Instant {
    (now + wait).min(retransmission)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(ack: u32, is_duplicate: bool, is_plain: bool) -> Answer {
        Answer {
            ack: Seq(ack),
            is_duplicate,
            is_plain,
        }
    }

    #[test]
    fn a_probe_is_two_round_trips_away_and_ten_milliseconds_at_least() {
        let delayed_ack = 200 * MILLISECOND;
        let after = |round_trip| timeout(Some(round_trip), false, delayed_ack);
        assert_eq!(after(400), 10 * MILLISECOND);
        assert_eq!(after(5 * MILLISECOND), 10 * MILLISECOND);
        assert_eq!(after(50 * MILLISECOND), 100 * MILLISECOND);
        assert_eq!(timeout(Some(400), true, delayed_ack), delayed_ack + 800);
        assert_eq!(timeout(None, false, delayed_ack), SECOND);
    }

    #[test]
    fn only_a_repaired_loss_counts() {
        let mut probe = TailLossProbe::default();
        assert!(!probe.answered(answer(200, false, false)), "none is out");
        probe.sent(Seq(100), true);
        assert!(!probe.answered(answer(50, false, true)));
        assert!(probe.is_out());
        assert!(!probe.answered(answer(100, false, false)), "not known yet");
        assert!(probe.is_out());
        assert!(
            probe.answered(answer(150, false, false)),
            "no report of a duplicate"
        );
        probe.sent(Seq(100), true);
        assert!(
            !probe.answered(answer(100, true, false)),
            "the probe was needless"
        );
        assert!(!probe.is_out());
        probe.sent(Seq(100), false);
        assert!(
            !probe.answered(answer(150, false, false)),
            "it was new data"
        );
        assert!(!probe.is_out());
    }
}
