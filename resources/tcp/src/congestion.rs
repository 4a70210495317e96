//! The congestion window: slow start and its threshold (RFC 5681), and after it one of two
//! algorithms, [`cubic`] or [`newreno`]. All in bytes and integers.

mod cubic;
mod newreno;

use self::cubic::Cubic;
use self::newreno::NewReno;
use crate::config::Algorithm;
use crate::time::{Instant, Micros};

/// The window before anything is known, in segments (RFC 6928).
const INITIAL_SEGMENTS: u32 = 10;
/// No window is larger: half the sequence space.
const MOST: u32 = 1 << 30;

/// An acknowledgment, as the window sees it.
#[derive(Clone, Copy, Debug)]
struct Acked {
    now: Instant,
    /// How much is newly acknowledged.
    bytes: u32,
    /// The window.
    window: u32,
    mss: u32,
    /// The smoothed round trip.
    rtt: Micros,
}

#[derive(Clone, Debug)]
enum Avoidance {
    Cubic(Cubic),
    NewReno(NewReno),
}

impl Avoidance {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Cubic => Self::Cubic(Cubic::default()),
            Algorithm::NewReno => Self::NewReno(NewReno::default()),
        }
    }
}

/// How much may be in the network.
#[derive(Clone, Debug)]
pub(crate) struct Congestion {
    window: u32,
    threshold: u32,
    mss: u32,
    avoidance: Avoidance,
}

impl Congestion {
    /// The window of a new connection.
    pub(crate) fn new(algorithm: Algorithm, mss: u32) -> Self {
        Self {
            window: initial(mss),
            threshold: MOST,
            mss,
            avoidance: Avoidance::new(algorithm),
        }
    }

    /// How it grows after slow start.
    pub(crate) const fn algorithm(&self) -> Algorithm {
        match self.avoidance {
            Avoidance::Cubic(_) => Algorithm::Cubic,
            Avoidance::NewReno(_) => Algorithm::NewReno,
        }
    }

    /// Has it grow as another algorithm has it, from the window and threshold that it has.
    pub(crate) fn set_algorithm(&mut self, algorithm: Algorithm) {
        if algorithm != self.algorithm() {
            self.avoidance = Avoidance::new(algorithm);
        }
    }

    /// The window in bytes, as whole segments: the nearest number of them. What is left of a segment
    /// cannot be sent, and to round down always would cost a small window a tenth of its rate.
    pub(crate) fn window(&self) -> u32 {
        let segments = (self.window + self.mss / 2) / self.mss;
        segments.max(1) * self.mss
    }

    /// Where slow start ends.
    pub(crate) fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Sets the window, in recovery.
    pub(crate) fn set_window(&mut self, bytes: u32) {
        self.window = bytes.clamp(self.mss, MOST);
    }

    /// The segment size is known, or has changed. `is_new`: nothing was sent yet.
    pub(crate) fn set_mss(&mut self, mss: u32, is_new: bool) {
        self.mss = mss;
        if is_new {
            self.window = initial(mss);
        }
        self.window = self.window.max(mss);
    }

    /// SYN was lost: begin with one segment (RFC 5681, section 3.1).
    pub(crate) fn handshake_timed_out(&mut self) {
        self.window = self.mss;
    }

    /// Data was acknowledged, and none lost. `is_limited`: the window was what held the sender
    /// back; otherwise it says nothing that more was not lost (RFC 9438, section 5.8).
    pub(crate) fn acknowledged(
        &mut self,
        now: Instant,
        bytes: u32,
        rtt: Option<Micros>,
        is_limited: bool,
    ) {
        if !is_limited {
            if let Avoidance::Cubic(cubic) = &mut self.avoidance {
                cubic.pause(now);
            }
            return;
        }
        let mut left = bytes;
        if self.window < self.threshold {
            let step = left.min(self.threshold - self.window);
            self.window += step;
            left -= step;
        }
        if left > 0 {
            let (window, mss, rtt) = (self.window, self.mss, rtt.unwrap_or(0));
            let acked = Acked {
                now,
                bytes: left,
                window,
                mss,
                rtt,
            };
            self.window += match &mut self.avoidance {
                Avoidance::Cubic(cubic) => cubic.growth(acked),
                Avoidance::NewReno(reno) => reno.growth(acked),
            };
        }
        self.window = self.window.min(MOST);
    }

    /// Data was lost with `flight` outstanding: sets the threshold, which the window is to reach.
    pub(crate) fn lost(&mut self, flight: u32) {
        let window = self.window.min(flight.max(self.mss));
        let threshold = match &mut self.avoidance {
            Avoidance::Cubic(cubic) => cubic.reduced(window),
            Avoidance::NewReno(reno) => reno.reduced(window),
        };
        self.threshold = threshold.max(2 * self.mss);
    }

    /// Everything outstanding may be lost. `is_first`: since data was last acknowledged.
    pub(crate) fn timed_out(&mut self, flight: u32, is_first: bool) {
        if is_first {
            self.lost(flight);
        }
        self.window = self.mss;
    }

    /// Nothing was lost: all is as it was `prior` to the reduction, but the window, which grows back
    /// by slow start, so that no burst is sent (RFC 4015, section 3.2), and an algorithm that was chosen
    /// since. `pipe` is in the network, `acked` was newly acknowledged.
    pub(crate) fn take_back(&mut self, prior: Self, pipe: u32, acked: u32) {
        let window = pipe + acked.min(initial(self.mss));
        let threshold = prior.threshold.max(prior.window);
        self.window = self.window.max(window).min(MOST);
        self.threshold = self.threshold.max(threshold);
        if prior.algorithm() == self.algorithm() {
            self.avoidance = prior.avoidance;
        }
    }

    /// Nothing was sent for a timeout: what the window was says little now (RFC 5681, section 4.1).
    pub(crate) fn restart(&mut self) {
        self.window = self.window.min(initial(self.mss));
        if let Avoidance::Cubic(cubic) = &mut self.avoidance {
            cubic.restart();
        }
    }
}

/// RFC 6928: ten segments, if they are not large.
fn initial(mss: u32) -> u32 {
    (INITIAL_SEGMENTS * mss).min((2 * mss).max(14_600))
}

#[cfg(test)]
mod tests;
