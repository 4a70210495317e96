//! Timeouts (RFC 9293, section 3.10.8).

use super::Connection;
use crate::memory::Host;
use crate::state::{Failure, State};
use crate::time::Instant;

impl<H: Host> Connection<H> {
    /// When [`Connection::expired`] is to be called next. It may be called earlier, and does
    /// nothing then.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.state == State::Closed {
            return None;
        }
        let deadlines = [
            self.sender.deadline(),
            self.receiver.deadline(),
            self.sender.corked_until(),
            self.fin_wait_ends,
            self.user_timeout_ends(),
            self.next_probe(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due by now. [`Connection::transmit`] gives what follows from it.
    pub fn expired(&mut self, now: Instant) {
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        if self.state == State::Closed {
            return;
        }
        if is_due(self.fin_wait_ends) {
            self.end(None);
            return;
        }
        if is_due(self.user_timeout_ends()) || self.sender.expired(now).is_err() {
            self.reset(Failure::TimedOut);
            return;
        }
        if is_due(self.sender.corked_until()) {
            self.sender.cork(None);
        }
        if is_due(self.next_probe()) {
            self.probe(now);
        }
    }

    /// When data has waited for too long.
    fn user_timeout_ends(&self) -> Option<Instant> {
        let limit = self.user_timeout?;
        self.sender.is_waiting().then(|| self.progress + limit)
    }

    /// When an idle connection is probed. One with data outstanding is not idle.
    fn next_probe(&self) -> Option<Instant> {
        let settings = self.idle.settings?;
        if !self.state.is_synchronized() || self.sender.is_waiting() {
            return None;
        }
        Some(match self.idle.probes {
            0 => self.last_heard + settings.idle.max(1),
            _ => self.idle.last + settings.interval.max(1),
        })
    }

    fn probe(&mut self, now: Instant) {
        let most = self.idle.settings.map_or(0, |settings| settings.probes);
        if self.idle.probes >= most {
            self.reset(Failure::TimedOut);
            return;
        }
        self.idle.probes += 1;
        self.idle.last = now;
        self.idle.is_due = true;
    }
}
