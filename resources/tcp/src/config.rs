//! What can be chosen for a connection.

use crate::time::{MILLISECOND, Micros, SECOND};

/// How a connection finds its share of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// CUBIC (RFC 9438).
    #[default]
    Cubic,
    /// NewReno (RFC 5681, 6582).
    NewReno,
}

/// Probes on a connection where nothing happens (RFC 9293, section 3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// How long nothing has come before the first probe.
    pub idle: Micros,
    /// From one probe to the next.
    pub interval: Micros,
    /// How many go unanswered before the connection is given up.
    pub probes: u8,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            idle: 7200 * SECOND,
            interval: 75 * SECOND,
            probes: 9,
        }
    }
}

/// A connection's choices. Those of a listener are those of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The most bytes that wait for acknowledgment or to be sent.
    pub send_buffer: usize,
    /// The most bytes that wait to be read: the largest window, at most 1 GiB.
    pub receive_buffer: usize,
    /// The most memory that received packets hold, as a multiple of `receive_buffer`.
    pub receive_footprint: usize,
    /// The largest IP packet of the interface, in bytes.
    pub mtu: usize,
    /// How a connection finds its share of the network; `None` is the default, CUBIC, and where
    /// somebody who knows the path may still choose another.
    pub algorithm: Option<Algorithm>,
    /// Use timestamps (RFC 7323) if the peer does.
    pub timestamps: bool,
    /// Use SACK (RFC 2018) if the peer does.
    pub sack: bool,
    /// Use window scaling (RFC 7323) if the peer does.
    pub window_scaling: bool,
    /// The shortest retransmission timeout (RFC 6298).
    pub min_rto: Micros,
    /// The longest.
    pub max_rto: Micros,
    /// The retransmission timeout before there is a measurement.
    pub initial_rto: Micros,
    /// How long an acknowledgment may wait for a second segment (RFC 9293, section 3.8.6.3: less
    /// than 0.5 s).
    pub delayed_ack: Micros,
    /// How often SYN or SYN-ACK is repeated.
    pub syn_retries: u8,
    /// How often data is repeated before the connection is given up.
    pub retries: u8,
    /// How long data may stay unacknowledged (RFC 5482), if that is limited.
    pub user_timeout: Option<Micros>,
    /// Send small segments at once, though others are not acknowledged (TCP_NODELAY).
    pub nodelay: bool,
    /// Probe when nothing happens.
    pub keep_alive: Option<KeepAlive>,
    /// How long a closed connection waits for the peer to close too.
    pub fin_wait: Micros,
    /// How long a connection's name is not used again: two segment lifetimes.
    pub time_wait: Micros,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            send_buffer: 256 << 10,
            receive_buffer: 256 << 10,
            receive_footprint: 3,
            mtu: 1500,
            algorithm: None,
            timestamps: true,
            sack: true,
            window_scaling: true,
            min_rto: 200 * MILLISECOND,
            max_rto: 120 * SECOND,
            initial_rto: SECOND,
            delayed_ack: 40 * MILLISECOND,
            syn_retries: 5,
            retries: 15,
            user_timeout: None,
            nodelay: false,
            keep_alive: None,
            fin_wait: 60 * SECOND,
            time_wait: 60 * SECOND,
        }
    }
}

/// The IP header that the MTU includes.
pub(crate) const IP_HEADER: usize = 20;
/// No segment is smaller on purpose, whatever the peer or a router says: a peer could otherwise
/// make every byte cost a packet.
pub(crate) const MIN_MSS: usize = 64;
/// What a peer can take that does not say (RFC 9293, section 3.7.1).
pub(crate) const DEFAULT_MSS: u16 = 536;
/// The largest window is 2¹⁶ · 2¹⁴ bytes (RFC 7323, section 2.3).
pub(crate) const MAX_SCALE: u8 = 14;

impl Config {
    /// The largest payload that fits into a packet without options.
    pub(crate) fn mss(&self) -> u16 {
        let payload = self
            .mtu
            .saturating_sub(IP_HEADER + crate::segment::BASE_HEADER);
        u16::try_from(payload.max(MIN_MSS)).unwrap_or(u16::MAX)
    }

    /// The largest window.
    pub(crate) fn window(&self) -> u32 {
        u32::try_from(self.receive_buffer.min(1 << 30)).unwrap_or(1 << 30)
    }

    /// The smallest scale with which the largest window can be said.
    pub(crate) fn window_scale(&self) -> u8 {
        (0..MAX_SCALE)
            .find(|scale| self.window() >> scale <= 0xffff)
            .unwrap_or(MAX_SCALE)
    }
}
