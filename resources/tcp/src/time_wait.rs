//! TIME-WAIT: what is left of a connection when both sides have closed it (RFC 9293, section 3.6.1;
//! RFC 1337; RFC 6191). It answers what comes late, and holds no buffers.

use crate::connection::Connection;
use crate::memory::Host;
use crate::options::Clock;
use crate::segment::{Flags, Options, Segment};
use crate::seq::Seq;
use crate::state::State;
use crate::time::{Instant, Micros};

/// A connection that is over, but for what may come late.
#[derive(Clone, Debug)]
pub struct TimeWait {
    ports: (u16, u16),
    snd_nxt: Seq,
    rcv_nxt: Seq,
    window: u16,
    clock: Option<Clock>,
    length: Micros,
    ends: Instant,
}

/// What a segment means to a connection in TIME-WAIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Late {
    /// Nothing.
    Ignore,
    /// This is to be sent.
    Answer(Segment),
    /// A SYN that can only be of a new connection: the old one is to make way.
    MakeWay,
}

impl TimeWait {
    /// The record of a connection that is in TIME-WAIT and has sent its last acknowledgment.
    /// What it has received can still be read from it; it takes no more segments.
    pub fn of<H: Host>(connection: &Connection<H>, now: Instant) -> Option<Self> {
        let identity = connection.identity();
        (connection.state() == State::TimeWait).then(|| {
            let (snd_nxt, rcv_nxt, window, clock, length) = connection.last_words();
            Self {
                ports: (identity.local, identity.remote),
                snd_nxt,
                rcv_nxt,
                window,
                clock,
                length,
                ends: now + length,
            }
        })
    }

    /// When it is to be forgotten.
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.ends
    }

    /// Takes in a segment.
    pub fn segment(&mut self, segment: &Segment, payload: usize, now: Instant) -> Late {
        let flags = segment.flags;
        if flags.rst {
            // RFC 1337: a reset does not end TIME-WAIT.
            return Late::Ignore;
        }
        if flags.syn && !flags.ack && self.is_new(segment, now) {
            return Late::MakeWay;
        }
        if flags.fin && segment.seq + segment.length(payload) == self.rcv_nxt {
            self.ends = now + self.length;
        }
        let is_expected = segment.seq == self.rcv_nxt && segment.length(payload) == 0;
        if is_expected && !flags.syn {
            return Late::Ignore;
        }
        let timestamps = self.clock.map(|clock| clock.stamps(now));
        Late::Answer(Segment {
            source: self.ports.0,
            destination: self.ports.1,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags {
                ack: true,
                ..Flags::default()
            },
            window: self.window,
            options: Options {
                timestamps,
                ..Options::default()
            },
        })
    }

    /// Whether a SYN cannot be an old duplicate: its number or its clock is beyond all that came.
    fn is_new(&self, syn: &Segment, now: Instant) -> bool {
        match (&self.clock, syn.options.timestamps) {
            (Some(clock), Some(stamps)) => clock.is_newer(stamps.value, now),
            (Some(_) | None, _) => syn.seq.after(self.rcv_nxt),
        }
    }
}
