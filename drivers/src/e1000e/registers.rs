//! The registers of the 82574 (Intel 82574 GbE Controller Family Datasheet, section 10), by their
//! names there.

/// Bytes of the registers that are used.
pub(super) const LENGTH: usize = 0x6000;

/// Device control.
pub(super) const CTRL: usize = 0x0000;
/// Device status.
pub(super) const STATUS: usize = 0x0008;
/// Control and data of the non-volatile memory.
pub(super) const EECD: usize = 0x0010;
/// Extended device control.
pub(super) const CTRL_EXT: usize = 0x0018;
/// Interrupt causes: a bit that is written as 1 is cleared.
pub(super) const ICR: usize = 0x00c0;
/// Least time between interrupts, in units of 256 ns.
pub(super) const ITR: usize = 0x00c4;
/// Causes that interrupt: a bit that is written as 1 is set.
pub(super) const IMS: usize = 0x00d0;
/// The same: a bit that is written as 1 is cleared.
pub(super) const IMC: usize = 0x00d8;
/// Causes that are cleared, in ICR and IMS, when their MSI-X message is sent.
pub(super) const EIAC: usize = 0x00dc;
/// Which MSI-X message each cause has.
pub(super) const IVAR: usize = 0x00e4;
/// As ITR, for the first MSI-X message.
pub(super) const EITR: usize = 0x00e8;
/// Receive control.
pub(super) const RCTL: usize = 0x0100;
/// Transmit control.
pub(super) const TCTL: usize = 0x0400;
/// Gaps between packets.
pub(super) const TIPG: usize = 0x0410;
/// The ring for receiving: where it is (64 bits), its bytes, the device's place, the driver's.
pub(super) const RDBAL: usize = 0x2800;
/// See [`RDBAL`].
pub(super) const RDLEN: usize = 0x2808;
/// See [`RDBAL`].
pub(super) const RDH: usize = 0x2810;
/// See [`RDBAL`].
pub(super) const RDT: usize = 0x2818;
/// The ring for sending, likewise.
pub(super) const TDBAL: usize = 0x3800;
/// See [`TDBAL`].
pub(super) const TDLEN: usize = 0x3808;
/// See [`TDBAL`].
pub(super) const TDH: usize = 0x3810;
/// See [`TDBAL`].
pub(super) const TDT: usize = 0x3818;
/// When descriptors for sending are read and written back.
pub(super) const TXDCTL: usize = 0x3828;
/// Packets with a wrong checksum; reading clears.
pub(super) const CRCERRS: usize = 0x4000;
/// Packets that were damaged otherwise; reading clears.
pub(super) const RXERRC: usize = 0x400c;
/// Packets for which there was no room; reading clears.
pub(super) const MPC: usize = 0x4010;
/// Checksums of received packets.
pub(super) const RXCSUM: usize = 0x5000;
/// Which formats of received packets are known.
pub(super) const RFCTL: usize = 0x5008;
/// The table of multicast addresses, and its registers.
pub(super) const MTA: usize = 0x5200;
/// See [`MTA`].
pub(super) const MTA_WORDS: usize = 128;
/// The first address, its upper 16 bits, and whether it is valid.
pub(super) const RAL: usize = 0x5400;
/// See [`RAL`].
pub(super) const RAH: usize = 0x5404;
/// Spreading of received packets.
pub(super) const MRQC: usize = 0x5818;

/// Bits of [`CTRL`].
pub(super) mod ctrl {
    /// No more accesses to memory are begun.
    pub(in super::super) const GIO_MASTER_DISABLE: u32 = 1 << 2;
    /// Set link up.
    pub(in super::super) const SLU: u32 = 1 << 6;
    /// Force speed, force duplex.
    pub(in super::super) const FORCE: u32 = 0b11 << 11;
    /// Reset.
    pub(in super::super) const RST: u32 = 1 << 26;
    /// Tags of virtual networks are cut off.
    pub(in super::super) const VME: u32 = 1 << 30;
}

/// Bits of [`STATUS`].
pub(super) mod status {
    /// Link up.
    pub(in super::super) const LU: u32 = 1 << 1;
    /// Accesses to memory may be under way.
    pub(in super::super) const GIO_MASTER_ENABLE: u32 = 1 << 19;
}

/// Bit of [`EECD`]: the non-volatile memory has been read.
pub(super) const EECD_AUTO_RD: u32 = 1 << 9;

/// Bits of [`CTRL_EXT`].
pub(super) mod ctrl_ext {
    /// Causes in EIAC are masked when their message is sent.
    pub(in super::super) const EIAME: u32 = 1 << 24;
    /// Causes are masked when ICR is read.
    pub(in super::super) const IAME: u32 = 1 << 27;
    /// A driver is there.
    pub(in super::super) const DRV_LOAD: u32 = 1 << 28;
    /// The pending bits of MSI-X are cleared as it should be.
    pub(in super::super) const PBA: u32 = 1 << 31;
}

/// Interrupt causes, in [`ICR`], [`IMS`], [`IMC`] and [`EIAC`].
pub(super) mod cause {
    /// A descriptor for sending was written back.
    pub(in super::super) const TXDW: u32 = 1 << 0;
    /// The link has changed.
    pub(in super::super) const LSC: u32 = 1 << 2;
    /// Few descriptors are left for receiving.
    pub(in super::super) const RXDMT0: u32 = 1 << 4;
    /// There was no room for a packet.
    pub(in super::super) const RXO: u32 = 1 << 6;
    /// A packet was received.
    pub(in super::super) const RXT0: u32 = 1 << 7;
    /// By MSI-X: a packet was received in ring 0.
    pub(in super::super) const RXQ0: u32 = 1 << 20;
    /// By MSI-X: a descriptor of ring 0 for sending was written back.
    pub(in super::super) const TXQ0: u32 = 1 << 22;
    /// By MSI-X: anything else, such as the link.
    pub(in super::super) const OTHER: u32 = 1 << 24;
}

/// [`IVAR`]: all causes have the first message; it is sent for every write-back.
pub(super) const IVAR_ALL_FIRST: u32 = 1 << 31 | 0x8 << 16 | 0x8 << 8 | 0x8;
/// [`ITR`] and [`EITR`]: at most 20,000 interrupts in a second.
pub(super) const MODERATION: u32 = 195;
/// [`RCTL`]: enabled, broadcasts are taken, buffers of 2 KiB, no checksum behind packets.
pub(super) const RCTL_ON: u32 = 1 << 1 | 1 << 15 | 1 << 26;
/// [`TCTL`]: enabled, short packets are padded, 15 tries, full-duplex collision distance, several
/// reads of memory at one time.
pub(super) const TCTL_ON: u32 = 1 << 1 | 1 << 3 | 15 << 4 | 63 << 12 | 1 << 28;
/// [`TIPG`]: what section 10.2.6 recommends.
pub(super) const TIPG_COPPER: u32 = 6 << 20 | 8 << 10 | 8;
/// [`TXDCTL`]: every descriptor is written back by itself.
pub(super) const TXDCTL_EACH: u32 = 1 << 24 | 1 << 22 | 1 << 16;
/// [`RXCSUM`]: of IPv4, and of TCP and UDP over it.
pub(super) const RXCSUM_ON: u32 = 1 << 8 | 1 << 9;
/// [`RAH`]: the address is valid.
pub(super) const RAH_AV: u32 = 1 << 31;
/// What registers read as when the device is not there any more.
pub(super) const NOBODY: u32 = u32::MAX;
