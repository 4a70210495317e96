//! RACK: loss detection by time (RFC 8985, section 6).
//!
//! A segment is lost when one that was sent after it has arrived, and a reordering window more than
//! a round trip has passed since it was sent. That finds lost retransmissions too. The window is
//! zero until reordering is seen, and then a quarter of the smallest round trip. When duplicates show
//! that it was too short it grows by quarters of the smoothed round trip, which bounds it: the RFC's
//! quarters of the smallest one lead nowhere once a packet has overtaken the others both ways.

use crate::rto::RoundTrip;
use crate::scoreboard::{Scoreboard, Sent, Verdict};
use crate::seq::Seq;
use crate::time::{Instant, Micros};

/// For how many recoveries a wider window lasts (RFC 8985, section 6.2, step 4).
const PERSIST: u8 = 16;

/// What an acknowledgment says beyond the numbers: is it for a retransmission?
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// Now.
    pub now: Instant,
    /// The smallest round trip.
    pub min_rtt: Option<Micros>,
    /// The time that the peer's timestamp echoes, to the millisecond, if it sends timestamps.
    pub echoed: Option<Instant>,
}

/// What is known of the newest segment that has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Rack {
    /// When it was sent, and its end; nothing before the first acknowledgment.
    newest: Option<(Instant, Seq)>,
    /// Its round trip.
    rtt: Micros,
    /// The highest number that has arrived.
    forward: Seq,
    is_reordering: bool,
    /// The window beyond a quarter of the smallest round trip, in quarters of the smoothed one.
    widened: u8,
    persist: u8,
    /// The window does not grow again before this is acknowledged.
    round: Option<Seq>,
}

impl Rack {
    /// Nothing has arrived; the first number is `una`.
    pub(crate) fn new(una: Seq) -> Self {
        Self {
            newest: None,
            rtt: 0,
            forward: una,
            is_reordering: false,
            widened: 0,
            persist: 0,
            round: None,
        }
    }

    /// `sent` has arrived (steps 2 and 3).
    pub(crate) fn delivered(&mut self, sent: &Sent, context: &Context) {
        if sent.end.after(self.forward) {
            self.forward = sent.end;
        } else if sent.end.before(self.forward) && !sent.is_retransmission {
            self.is_reordering = true;
        }
        let rtt = context.now.since(sent.at);
        if sent.is_retransmission {
            // The acknowledgment may be for the first transmission.
            let is_early = context.min_rtt.is_some_and(|min| rtt < min);
            let is_older = context
                .echoed
                .is_some_and(|echoed| echoed + 1000 <= sent.at);
            if is_early || is_older {
                return;
            }
        }
        if self
            .newest
            .is_none_or(|newest| is_after((sent.at, sent.end), newest))
        {
            self.newest = Some((sent.at, sent.end));
            self.rtt = rtt;
        }
    }

    /// The peer got something twice: the window was too short (step 4).
    pub(crate) fn duplicate(&mut self, una: Seq, nxt: Seq) {
        if self.round.is_none_or(|round| !una.before(round)) {
            self.round = Some(nxt);
            self.widened = self.widened.saturating_add(1).min(4);
            self.persist = PERSIST;
        }
    }

    /// What was taken for lost was late (RFC 3522): reordering, and the window was too short.
    pub(crate) fn too_early(&mut self, una: Seq, nxt: Seq) {
        self.is_reordering = true;
        self.duplicate(una, nxt);
    }

    /// A recovery is over (step 4).
    pub(crate) fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.widened = 0;
        }
    }

    fn window(&self, board: &Scoreboard, rtt: &RoundTrip, mss: u32, recovering: bool) -> Micros {
        // Three segments have arrived after a gap.
        if !self.is_reordering && (recovering || board.sacked() > 2 * mss) {
            return 0;
        }
        let smoothed = rtt.smoothed().unwrap_or(0);
        let widened = smoothed / 4 * Micros::from(self.widened);
        (rtt.minimum().unwrap_or(0) / 4 + widened).min(smoothed)
    }

    /// Marks what is lost (step 5). Returns how much that is, and when to look again.
    pub(crate) fn detect(
        &self,
        board: &mut Scoreboard,
        rtt: &RoundTrip,
        mss: u32,
        recovering: bool,
        now: Instant,
    ) -> (u32, Option<Instant>) {
        let Some(newest) = self.newest else {
            return (0, None);
        };
        let patience = self.rtt + self.window(board, rtt, mss, recovering);
        let mut again: Option<Instant> = None;
        let limit = board.retransmitted_to();
        let lost = board.judge(|sent| {
            if !is_after(newest, (sent.at, sent.end)) {
                // Those that were sent once were sent in order.
                return if sent.start.before(limit) {
                    Verdict::Keep
                } else {
                    Verdict::Stop
                };
            }
            let deadline = sent.at + patience;
            if deadline <= now {
                return Verdict::Lost;
            }
            again = again.max(Some(deadline));
            Verdict::Keep
        });
        (lost, again)
    }

    /// When the retransmission timer has fired: whether a segment is as good as lost (section 6.3).
    pub(crate) fn is_overdue(&self, sent: &Sent, rtt: &RoundTrip, now: Instant) -> bool {
        let patience = self.rtt.max(rtt.smoothed().unwrap_or(0));
        sent.at + patience <= now
    }
}

/// Whether the first was sent after the second; at the same time, the higher number was.
fn is_after(first: (Instant, Seq), second: (Instant, Seq)) -> bool {
    first.0 > second.0 || (first.0 == second.0 && first.1.after(second.1))
}
