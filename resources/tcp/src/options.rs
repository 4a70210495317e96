//! What two peers agree on by the options of their SYNs, and timestamps (RFC 7323).

use crate::config::{Config, DEFAULT_MSS, MAX_SCALE, MIN_MSS};
use crate::segment::{Options, Timestamps};
use crate::time::{Instant, MILLISECOND, Micros};

/// After so long without a segment an old timestamp says nothing: 24 days (RFC 7323, section 5.5).
const OUTDATED: Micros = 24 * 24 * 3600 * crate::time::SECOND;

/// What is used on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The largest payload without options, of ours and the peer's.
    pub mss: u16,
    /// The scale of the peer's windows, and of ours, if windows are scaled.
    pub scales: Option<(u8, u8)>,
    /// SACK is used.
    pub sack: bool,
    /// The peer's clock, if timestamps are used.
    pub timestamp: Option<u32>,
}

impl Agreed {
    /// What follows from our choices and the options of the peer's SYN.
    pub fn new(config: &Config, peer: &Options) -> Self {
        let peer_mss = usize::from(peer.mss.unwrap_or(DEFAULT_MSS)).max(MIN_MSS);
        let scale = peer.window_scale.filter(|_| config.window_scaling);
        Self {
            mss: u16::try_from(peer_mss)
                .unwrap_or(u16::MAX)
                .min(config.mss()),
            scales: scale.map(|scale| (scale.min(MAX_SCALE), config.window_scale())),
            sack: peer.sack_permitted && config.sack,
            timestamp: peer
                .timestamps
                .filter(|_| config.timestamps)
                .map(|stamps| stamps.value),
        }
    }

    /// The data in a full segment: the options of every segment take some room.
    pub fn payload(&self) -> u32 {
        payload(self.mss, self.timestamp.is_some())
    }
}

/// The data in a segment of `mss` bytes, options included.
pub(crate) fn payload(mss: u16, timestamps: bool) -> u32 {
    let options = if timestamps { 12 } else { 0 };
    u32::from(mss) - options
}

/// The options of our SYN, without timestamps.
pub(crate) fn of_syn(config: &Config) -> Options {
    Options {
        mss: Some(config.mss()),
        window_scale: config.window_scaling.then(|| config.window_scale()),
        sack_permitted: config.sack,
        ..Options::default()
    }
}

/// The options of our SYN-ACK: only what the peer's SYN had (RFC 7323, sections 2.2 and 3.2).
pub(crate) fn of_syn_ack(config: &Config, agreed: &Agreed) -> Options {
    Options {
        mss: Some(config.mss()),
        window_scale: agreed.scales.map(|(_, ours)| ours),
        sack_permitted: agreed.sack,
        ..Options::default()
    }
}

/// One connection's clock in milliseconds, which starts anywhere so that it says nothing of other
/// connections, and the peer's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset: u32,
    /// TS.Recent, and when it came.
    recent: Option<(u32, Instant)>,
}

impl Clock {
    /// A clock that starts at `offset`.
    pub(crate) fn new(offset: u32) -> Self {
        Self {
            offset,
            recent: None,
        }
    }

    /// Our clock.
    #[expect(clippy::cast_possible_truncation, reason = "it wraps around")]
    pub(crate) fn value(&self, now: Instant) -> u32 {
        ((now.0 / MILLISECOND) as u32).wrapping_add(self.offset)
    }

    /// The option for a segment that is sent now.
    pub(crate) fn stamps(&self, now: Instant) -> Timestamps {
        Timestamps {
            value: self.value(now),
            echo: self.recent.map_or(0, |(value, _)| value),
        }
    }

    /// Whether a segment with the peer's clock `value` is an old duplicate (PAWS, section 5).
    pub(crate) fn is_old(&self, value: u32, now: Instant) -> bool {
        self.recent.is_some_and(|(recent, at)| {
            value.wrapping_sub(recent) > 1 << 31 && now.since(at) < OUTDATED
        })
    }

    /// Whether the peer's clock `value` is later than all that came.
    pub(crate) fn is_newer(&self, value: u32, now: Instant) -> bool {
        self.recent.is_none_or(|(recent, _)| recent != value) && !self.is_old(value, now)
    }

    /// A segment that is no old duplicate and acknowledgeable in order had the clock `value`.
    pub(crate) fn heard(&mut self, value: u32, now: Instant) {
        if !self.is_old(value, now) {
            self.recent = Some((value, now));
        }
    }

    /// The time that our clock showed what the peer echoes, to the millisecond.
    pub(crate) fn time_of(&self, echo: u32, now: Instant) -> Option<Instant> {
        let ago = self.value(now).wrapping_sub(echo);
        let now_ms = now.0 / MILLISECOND;
        let then = now_ms.checked_sub(u64::from(ago)).filter(|_| echo != 0)?;
        Some(Instant(then * MILLISECOND))
    }
}
