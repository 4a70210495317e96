//! The states of a connection (RFC 9293, section 3.3.2), what it tells the application, and why it
//! ended.

use core::fmt;

use bitflags::bitflags;

/// A connection's state. LISTEN is not one of them: a listener is a thing of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// There is no connection, or not any more.
    Closed,
    /// Our SYN was sent.
    SynSent,
    /// Both SYNs were sent, and ours is not acknowledged.
    SynReceived,
    /// Data flows both ways.
    Established,
    /// Our FIN was sent, or will be after the data.
    FinWait1,
    /// Our FIN is acknowledged.
    FinWait2,
    /// The peer's FIN has come.
    CloseWait,
    /// Both FINs were sent, and ours is not acknowledged.
    Closing,
    /// As `Closing`, where the peer was first.
    LastAck,
    /// Over, but for what may come late.
    TimeWait,
}

impl State {
    /// Whether both sides have agreed on their numbers.
    #[must_use]
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Self::Closed | Self::SynSent | Self::SynReceived)
    }

    /// Whether the application may still write.
    #[must_use]
    pub const fn can_send(self) -> bool {
        matches!(
            self,
            Self::SynSent | Self::SynReceived | Self::Established | Self::CloseWait
        )
    }

    /// Whether the peer may still send data.
    #[must_use]
    pub const fn can_receive(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }
}

bitflags! {
    /// What has happened since the application asked last.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Events: u8 {
        /// The connection is established.
        const CONNECTED = 1;
        /// There is more to read.
        const READABLE = 2;
        /// There is room again, after a write was refused.
        const WRITABLE = 4;
        /// The peer will send no more.
        const PEER_CLOSED = 8;
        /// All that was written, and FIN, is acknowledged.
        const SENT = 16;
        /// The connection is over.
        const CLOSED = 32;
    }
}

/// Why a connection ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The peer answered SYN with a reset (ECONNREFUSED).
    Refused,
    /// The peer has reset it (ECONNRESET).
    Reset,
    /// The peer does not answer (ETIMEDOUT).
    TimedOut,
    /// The application has reset it, or closed it with data unread (ECONNABORTED).
    Aborted,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the peer refused the connection",
            Self::Reset => "the peer reset the connection",
            Self::TimedOut => "the peer did not answer in time",
            Self::Aborted => "the connection was reset on this side",
        })
    }
}

/// Why data was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no room; [`Events::WRITABLE`] will say when there is (EAGAIN).
    Full,
    /// The account has too little (ENOBUFS).
    NoMemory,
    /// It was shut down on this side, or is over (EPIPE).
    Closed,
}
