//! Segments: the TCP header as values. `smoltcp::wire` reads and writes the bytes.
//!
//! [`Segment::parse`] takes anything and never panics; [`Segment::emit`] writes the header only, as
//! the payload stays where it is. The checksum is a separate step ([`crate::checksum`]), because a
//! device may do it.

use core::fmt;
use core::net::Ipv4Addr;

use arrayvec::ArrayVec;
use smoltcp::wire::{IpAddress, TcpOption, TcpPacket, TcpSeqNumber};

use crate::seq::Seq;

/// The longest TCP header, in bytes.
pub const MAX_HEADER: usize = 60;
/// The most SACK blocks in a segment; with timestamps there is no room for more.
pub const MAX_SACK_BLOCKS: usize = 3;
/// The length of a header without options, in bytes.
pub(crate) const BASE_HEADER: usize = 20;

/// The control bits that matter; URG and PSH change nothing in how a segment is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Synchronise: the first of a connection's segments.
    pub syn: bool,
    /// The acknowledgment field counts.
    pub ack: bool,
    /// No more data follows.
    pub fin: bool,
    /// The connection is gone.
    pub rst: bool,
    /// The sender has sent all it had.
    pub psh: bool,
}

/// Data that has arrived after a gap: from `start` to before `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlock {
    /// The first sequence number.
    pub start: Seq,
    /// The one after the last.
    pub end: Seq,
}

/// The timestamps option (RFC 7323, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// The sender's clock.
    pub value: u32,
    /// The last value seen of the receiver.
    pub echo: u32,
}

/// A segment's options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The largest payload the sender can take, in bytes (with SYN only).
    pub mss: Option<u16>,
    /// The sender's windows are in units of 2ⁿ bytes (with SYN only).
    pub window_scale: Option<u8>,
    /// SACK may be used (with SYN only).
    pub sack_permitted: bool,
    /// What has arrived after gaps.
    pub sack: ArrayVec<SackBlock, MAX_SACK_BLOCKS>,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
}

impl Options {
    /// Their length in a header, padding included, in bytes.
    pub fn length(&self) -> usize {
        let mut length = 0;
        if self.mss.is_some() {
            length += 4;
        }
        if self.window_scale.is_some() {
            length += 4;
        }
        if self.sack_permitted {
            length += 4;
        }
        if self.timestamps.is_some() {
            length += 12;
        }
        length + sack_length(self.sack.len())
    }
}

/// The length of an option with so many SACK blocks, padding included.
pub(crate) const fn sack_length(blocks: usize) -> usize {
    if blocks == 0 { 0 } else { 4 + 8 * blocks }
}

/// A TCP header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// The sequence number of the first byte, or of SYN.
    pub seq: Seq,
    /// The next sequence number that is expected, if [`Flags::ack`].
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window as it stands in the header, not scaled.
    pub window: u16,
    /// The options.
    pub options: Options,
}

/// Why bytes are no segment. Each is a reason to drop the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than its header, or the header shorter than any header is.
    Truncated,
    /// A port is zero.
    Port,
    /// The checksum is wrong.
    Checksum,
    /// An option has a length that it cannot have.
    Option,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the packet is shorter than its TCP header",
            Self::Port => "a TCP port is zero",
            Self::Checksum => "the TCP checksum is wrong",
            Self::Option => "a TCP option has an impossible length",
        })
    }
}

/// Whether [`Segment::parse`] checks the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Yes; the bytes hold the whole payload.
    Checksum,
    /// No: the device has done it.
    Nothing,
}

impl Segment {
    /// Reads a header. `bytes` starts with it and ends where the IP packet's payload ends, or after
    /// the header if nothing is verified. Returns the segment and the header's length.
    ///
    /// # Errors
    /// When this is no segment.
    pub fn parse(
        bytes: &[u8],
        source: Ipv4Addr,
        destination: Ipv4Addr,
        verify: Verify,
    ) -> Result<(Self, usize), Malformed> {
        let packet = TcpPacket::new_checked(bytes).map_err(|_| Malformed::Truncated)?;
        if packet.src_port() == 0 || packet.dst_port() == 0 {
            return Err(Malformed::Port);
        }
        let (from, to) = (IpAddress::Ipv4(source), IpAddress::Ipv4(destination));
        if verify == Verify::Checksum && !packet.verify_checksum(&from, &to) {
            return Err(Malformed::Checksum);
        }
        let flags = Flags {
            syn: packet.syn(),
            ack: packet.ack(),
            fin: packet.fin(),
            rst: packet.rst(),
            psh: packet.psh(),
        };
        let segment = Self {
            source: packet.src_port(),
            destination: packet.dst_port(),
            seq: from_wire(packet.seq_number()),
            ack: from_wire(packet.ack_number()),
            flags,
            window: packet.window_len(),
            options: parse_options(packet.options(), flags.syn)?,
        };
        Ok((segment, usize::from(packet.header_len())))
    }

    /// The header's length in bytes.
    #[must_use]
    pub fn header_length(&self) -> usize {
        BASE_HEADER + self.options.length()
    }

    /// Writes the header, with zero for a checksum. Returns its length.
    ///
    /// # Panics
    /// When `buffer` is shorter than [`Segment::header_length`]; [`MAX_HEADER`] always suffices.
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let length = self.header_length();
        let buffer = &mut buffer[..length];
        buffer.fill(0);
        let mut packet = TcpPacket::new_unchecked(buffer);
        packet.set_src_port(self.source);
        packet.set_dst_port(self.destination);
        packet.set_seq_number(to_wire(self.seq));
        packet.set_ack_number(to_wire(self.ack));
        packet.set_header_len(u8::try_from(length).unwrap_or(u8::MAX));
        packet.set_syn(self.flags.syn);
        packet.set_ack(self.flags.ack);
        packet.set_fin(self.flags.fin);
        packet.set_rst(self.flags.rst);
        packet.set_psh(self.flags.psh);
        packet.set_window_len(self.window);
        emit_options(&self.options, packet.options_mut());
        length
    }

    /// How much of the sequence space the segment takes with so much payload.
    #[must_use]
    pub fn length(&self, payload: usize) -> u32 {
        let payload = u32::try_from(payload).unwrap_or(u32::MAX);
        payload + u32::from(self.flags.syn) + u32::from(self.flags.fin)
    }

    /// The reset that answers a segment for which there is no connection (RFC 9293, section
    /// 3.10.7.1), unless it is a reset itself.
    #[must_use]
    pub fn reset(&self, payload: usize) -> Option<Self> {
        if self.flags.rst {
            return None;
        }
        let mut reset = Self {
            source: self.destination,
            destination: self.source,
            flags: Flags {
                rst: true,
                ..Flags::default()
            },
            ..Self::default()
        };
        if self.flags.ack {
            reset.seq = self.ack;
        } else {
            reset.flags.ack = true;
            reset.ack = self.seq + self.length(payload);
        }
        Some(reset)
    }
}

fn from_wire(number: TcpSeqNumber) -> Seq {
    Seq(number.0.cast_unsigned())
}

fn to_wire(number: Seq) -> TcpSeqNumber {
    TcpSeqNumber(number.0.cast_signed())
}

fn parse_options(mut bytes: &[u8], syn: bool) -> Result<Options, Malformed> {
    let mut options = Options::default();
    while !bytes.is_empty() {
        let (rest, option) = TcpOption::parse(bytes).map_err(|_| Malformed::Option)?;
        match option {
            TcpOption::EndOfList => break,
            TcpOption::MaxSegmentSize(mss) if syn => options.mss = Some(mss),
            TcpOption::WindowScale(scale) if syn => options.window_scale = Some(scale),
            TcpOption::SackPermitted if syn => options.sack_permitted = true,
            TcpOption::TimeStamp { tsval, tsecr } => {
                options.timestamps = Some(Timestamps {
                    value: tsval,
                    echo: tsecr,
                });
            }
            TcpOption::SackRange(ranges) => {
                let blocks = ranges.iter().flatten();
                options.sack = blocks
                    .map(|&(start, end)| SackBlock {
                        start: Seq(start),
                        end: Seq(end),
                    })
                    .collect();
            }
            TcpOption::NoOperation
            | TcpOption::MaxSegmentSize(_)
            | TcpOption::WindowScale(_)
            | TcpOption::SackPermitted
            | TcpOption::Unknown { .. } => {}
        }
        bytes = rest;
    }
    Ok(options)
}

/// Writes options, each padded in front to a multiple of four bytes.
fn emit_options(options: &Options, mut buffer: &mut [u8]) {
    const PAD: TcpOption<'_> = TcpOption::NoOperation;
    if let Some(mss) = options.mss {
        buffer = TcpOption::MaxSegmentSize(mss).emit(buffer);
    }
    if let Some(scale) = options.window_scale {
        buffer = PAD.emit(buffer);
        buffer = TcpOption::WindowScale(scale).emit(buffer);
    }
    if options.sack_permitted {
        buffer = PAD.emit(PAD.emit(buffer));
        buffer = TcpOption::SackPermitted.emit(buffer);
    }
    if let Some(Timestamps { value, echo }) = options.timestamps {
        buffer = PAD.emit(PAD.emit(buffer));
        buffer = TcpOption::TimeStamp {
            tsval: value,
            tsecr: echo,
        }
        .emit(buffer);
    }
    if !options.sack.is_empty() {
        buffer = PAD.emit(PAD.emit(buffer));
        let mut ranges = [None; 3];
        for (range, block) in ranges.iter_mut().zip(&options.sack) {
            *range = Some((block.start.0, block.end.0));
        }
        TcpOption::SackRange(ranges).emit(buffer);
    }
}

#[cfg(test)]
mod tests;
