//! Listening: connections that are half open hold no buffers, and under pressure not even a record.
//!
//! A SYN makes a [`HalfOpen`], which repeats SYN-ACK until the peer's acknowledgment makes it a
//! connection. There are at most as many as the backlog says; when it is full, the listener answers
//! by cookies ([`crate::cookies`]) and remembers nothing.

use crate::config::Config;
use crate::connection::Identity;
use crate::options::{self, Agreed, Clock};
use crate::segment::{Flags, Segment};
use crate::seq::Seq;
use crate::time::{Instant, Micros};

/// A connection of which a listener has seen SYN only.
#[derive(Clone, Debug)]
pub struct HalfOpen {
    /// Its ports and numbers.
    pub identity: Identity,
    /// The peer's initial sequence number.
    pub irs: Seq,
    /// What both can do.
    pub agreed: Agreed,
    /// The peer's window, not scaled.
    pub window: u16,
    sent_at: Instant,
    retries: u8,
    most_retries: u8,
    timeout: Micros,
}

impl HalfOpen {
    /// Answers a SYN: [`HalfOpen::answer`] is to be sent.
    pub fn new(config: &Config, identity: Identity, syn: &Segment, now: Instant) -> Self {
        Self {
            identity,
            irs: syn.seq,
            agreed: Agreed::new(config, &syn.options),
            window: syn.window,
            sent_at: now,
            retries: 0,
            most_retries: config.syn_retries,
            timeout: config.initial_rto,
        }
    }

    /// The SYN-ACK.
    #[must_use]
    pub fn answer(&self, config: &Config, now: Instant) -> Segment {
        let mut options = options::of_syn_ack(config, &self.agreed);
        options.timestamps = self.agreed.timestamp.map(|value| {
            let mut clock = Clock::new(self.identity.clock);
            clock.heard(value, now);
            clock.stamps(now)
        });
        Segment {
            source: self.identity.local,
            destination: self.identity.remote,
            seq: self.identity.iss,
            ack: self.irs + 1,
            flags: Flags {
                syn: true,
                ack: true,
                ..Flags::default()
            },
            window: u16::try_from(config.window()).unwrap_or(u16::MAX),
            options,
        }
    }

    /// When SYN-ACK was sent last.
    #[must_use]
    pub fn sent_at(&self) -> Instant {
        self.sent_at
    }

    /// How often it was repeated.
    #[must_use]
    pub fn retries(&self) -> u8 {
        self.retries
    }

    /// When [`HalfOpen::expired`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.sent_at + (self.timeout << self.retries.min(16))
    }

    /// The timeout has passed: SYN-ACK is to be sent again, unless it was often enough, which
    /// returns false.
    #[must_use]
    pub fn expired(&mut self, now: Instant) -> bool {
        if self.retries >= self.most_retries {
            return false;
        }
        self.retries += 1;
        self.sent_at = now;
        true
    }

    /// Takes in a segment.
    #[must_use]
    pub fn segment(&self, segment: &Segment, payload: usize) -> HalfOpenVerdict {
        let nxt = self.irs + 1;
        let flags = segment.flags;
        if flags.rst {
            // RFC 5961, section 3: only the exact number.
            return if segment.seq == nxt {
                HalfOpenVerdict::Over
            } else {
                HalfOpenVerdict::Ignore
            };
        }
        if flags.syn {
            let is_repeated = segment.seq == self.irs && !flags.ack;
            return if is_repeated {
                HalfOpenVerdict::AnswerAgain
            } else {
                HalfOpenVerdict::Challenge
            };
        }
        if !flags.ack {
            return HalfOpenVerdict::Ignore;
        }
        if segment.ack != self.identity.iss + 1 {
            let reset = segment.reset(payload);
            return reset.map_or(HalfOpenVerdict::Ignore, HalfOpenVerdict::Reset);
        }
        let is_in_window = segment.seq.within(nxt, nxt + 0xffff);
        if is_in_window {
            HalfOpenVerdict::Establish
        } else {
            HalfOpenVerdict::Challenge
        }
    }
}

/// What becomes of a half-open connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HalfOpenVerdict {
    /// Nothing.
    Ignore,
    /// SYN-ACK is to be sent again.
    AnswerAgain,
    /// An acknowledgment is to be sent, if the limit allows.
    Challenge,
    /// This is to be sent.
    Reset(Segment),
    /// It is to be removed.
    Over,
    /// It is to become a connection, which is given the segment.
    Establish,
}
