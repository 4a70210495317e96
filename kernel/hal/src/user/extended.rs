//! The extended state of a thread: x87, SSE, AVX, AVX-512 and protection-key registers, as XSAVE
//! lays them out in memory (Intel SDM volume 1, 13.4; without XSAVE: FXSAVE, 10.5.1).
//!
//! Key types: [`ExtendedState`] (one thread's), [`Format`] (what this machine's CPUs have).
//!
//! Invariant: what is in an [`ExtendedState`] can be loaded without a fault: no component that is
//! not enabled, no reserved bit set.

use alloc::boxed::Box;
use alloc::vec;
use core::ops::Range;

use arrayvec::ArrayVec;
use raw_cpuid::CpuId;
use spin::Once;

/// The part that FXSAVE knows: x87 and SSE.
pub(super) const LEGACY_BYTES: usize = 512;
/// XSAVE's header follows it.
const HEADER: Range<usize> = LEGACY_BYTES..LEGACY_BYTES + 64;
/// Which components are not in their initial state: the header's first word.
const PRESENT: Range<usize> = HEADER.start..HEADER.start + 8;
/// The x87 registers' two parts: before and after MXCSR.
const X87: [Range<usize>; 2] = [0..24, 32..160];
const CONTROL_WORD: Range<usize> = 0..2;
const MXCSR: Range<usize> = 24..28;
const MXCSR_MASK: Range<usize> = 28..32;
const SSE: Range<usize> = 160..416;

/// What x87 starts with: all exceptions masked, extended precision.
const INITIAL_CONTROL_WORD: u16 = 0x37f;
/// What SSE starts with: all exceptions masked.
const INITIAL_MXCSR: u32 = 0x1f80;
/// Which bits MXCSR has where the CPU does not say (Intel SDM volume 1, 11.6.6).
const DEFAULT_MXCSR_MASK: u32 = 0xffbf;

/// XCR0's bits of x87 and SSE.
const X87_AND_SSE: u64 = 0b11;
const AVX: u64 = 1 << 2;
const AVX_512: u64 = 0b111 << 5;
const PROTECTION_KEYS: u64 = 1 << 9;

/// How the registers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Fxsave,
    Xsave,
    /// XSAVE that leaves out what has not changed.
    Xsaveopt,
}

/// A component above x87 and SSE and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Component {
    bit: u64,
    place: Range<usize>,
}

/// How extended state looks on this machine, whose CPUs are all alike.
#[derive(Clone, Debug)]
pub(super) struct Format {
    method: Method,
    /// The components that are enabled: XCR0.
    enabled: u64,
    /// Bytes of the area.
    size: usize,
    mxcsr_mask: u32,
    components: ArrayVec<Component, 8>,
}

static FORMAT: Once<Format> = Once::new();

impl Format {
    /// This machine's.
    pub(super) fn get() -> &'static Self {
        FORMAT.call_once(Self::detect)
    }

    /// Bytes of the area.
    pub(super) const fn bytes(&self) -> usize {
        self.size
    }

    /// The components to enable, of which AVX-512's three belong together and build on AVX.
    pub(super) fn wanted(supported: u64) -> u64 {
        let mut wanted = X87_AND_SSE | supported & (AVX | PROTECTION_KEYS);
        if supported & (AVX | AVX_512) == AVX | AVX_512 {
            wanted |= AVX_512;
        }
        wanted
    }

    /// What XCR0 is to be; `None` without XSAVE.
    pub(super) fn xcr0(&self) -> Option<u64> {
        (self.method != Method::Fxsave).then_some(self.enabled)
    }

    /// FXSAVE's.
    fn legacy() -> Self {
        Self {
            method: Method::Fxsave,
            enabled: X87_AND_SSE,
            size: LEGACY_BYTES,
            mxcsr_mask: mxcsr_mask(),
            components: ArrayVec::new(),
        }
    }

    fn detect() -> Self {
        let cpuid = CpuId::new();
        let has_xsave = cpuid
            .get_feature_info()
            .is_some_and(|basic| basic.has_xsave());
        let legacy = Self::legacy();
        // A host's program cannot choose the components.
        let Some(info) = cpuid
            .get_extended_state_info()
            .filter(|_| has_xsave && cfg!(target_os = "none"))
        else {
            return legacy;
        };
        // Leaf 0xd, subleaf 0: what XCR0 may have.
        let leaf = raw_cpuid::cpuid!(0xd, 0);
        let enabled = Self::wanted(u64::from(leaf.edx) << 32 | u64::from(leaf.eax));
        let mut components = ArrayVec::new();
        for state in info.iter() {
            let bit = 1 << state.subleaf;
            if enabled & bit != 0 && bit & X87_AND_SSE == 0 {
                let start = state.offset() as usize;
                let place = start..start + state.size() as usize;
                components.push(Component { bit, place });
            }
        }
        let end = components.iter().map(|component| component.place.end).max();
        Self {
            method: match info.has_xsaveopt() {
                true => Method::Xsaveopt,
                false => Method::Xsave,
            },
            enabled,
            size: end.unwrap_or(HEADER.end),
            components,
            ..legacy
        }
    }
}

/// Enables on this core the components that `format` has.
pub(super) fn init_core(format: &Format) {
    use x86_64::registers::control::{Cr4, Cr4Flags};
    let Some(xcr0) = format.xcr0() else { return };
    let mut cr4 = Cr4::read() | Cr4Flags::OSXSAVE;
    if xcr0 & PROTECTION_KEYS != 0 {
        cr4 |= Cr4Flags::PROTECTION_KEY_USER;
    }
    // SAFETY: the CPU has the features; keys concern user pages, which the kernel does not touch.
    unsafe { Cr4::write(cr4) };
    let (low, high) = halves(xcr0);
    // SAFETY: XSAVE is enabled, and the CPU supports these components in this combination.
    unsafe {
        core::arch::asm!(
            "xsetbv", in("ecx") 0, in("eax") low, in("edx") high,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// The bits that MXCSR may have on this CPU.
fn mxcsr_mask() -> u32 {
    let mut area = Area::new(LEGACY_BYTES);
    let start = area.0.as_mut_ptr();
    // SAFETY: the area is aligned and long enough; FXSAVE changes nothing else.
    unsafe { core::arch::asm!("fxsave64 [{}]", in(reg) start, options(nostack, preserves_flags)) };
    match u32::from_le_bytes(array(&area.bytes()[MXCSR_MASK])) {
        0 => DEFAULT_MXCSR_MASK,
        mask => mask,
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    core::array::from_fn(|at| bytes[at])
}

/// Memory aligned as XSAVE wants it.
#[derive(Clone, Debug)]
struct Area(Box<[Block]>);

#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Block([u8; 64]);

impl Area {
    /// At least `size` zeros.
    fn new(size: usize) -> Self {
        Self(vec![Block([0; 64]); size.div_ceil(size_of::<Block>())].into_boxed_slice())
    }

    fn bytes(&self) -> &[u8] {
        let start = self.0.as_ptr().cast();
        // SAFETY: the blocks are bytes without padding, borrowed as long as the result.
        unsafe { core::slice::from_raw_parts(start, size_of_val(&*self.0)) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let length = size_of_val(&*self.0);
        let start = self.0.as_mut_ptr().cast();
        // SAFETY: as in `bytes`, borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(start, length) }
    }
}

/// One thread's extended state, while it is in memory.
#[derive(Clone, Debug)]
pub(super) struct ExtendedState {
    format: &'static Format,
    area: Area,
}

impl ExtendedState {
    /// What a program begins with.
    pub(super) fn new() -> Self {
        let format = Format::get();
        let mut area = Area::new(format.size);
        area.bytes_mut()[MXCSR].copy_from_slice(&INITIAL_MXCSR.to_le_bytes());
        let mut state = Self { format, area };
        state.put_initial_values(X87_AND_SSE);
        state
    }

    /// Stores this core's registers.
    pub(super) fn save(&mut self) {
        let to = self.area.0.as_mut_ptr();
        let (low, high) = halves(self.format.enabled);
        match self.format.method {
            // SAFETY: the area is aligned and as long as the CPU says; nothing else changes.
            Method::Fxsave => unsafe {
                core::arch::asm!("fxsave64 [{}]", in(reg) to, options(nostack, preserves_flags));
            },
            // SAFETY: as above, and XSAVE is enabled; the header's reserved bytes are zero.
            Method::Xsave => unsafe {
                core::arch::asm!(
                    "xsave64 [{}]", in(reg) to, in("eax") low, in("edx") high,
                    options(nostack, preserves_flags)
                );
            },
            // SAFETY: as above. What it leaves out is in the area already: whatever changes the
            // area has it loaded again before it is saved again.
            Method::Xsaveopt => unsafe {
                core::arch::asm!(
                    "xsaveopt64 [{}]", in(reg) to, in("eax") low, in("edx") high,
                    options(nostack, preserves_flags)
                );
            },
        }
    }

    /// Loads this core's registers, which the kernel itself does not use.
    pub(super) fn restore(&self) {
        let from = self.area.0.as_ptr();
        let (low, high) = halves(self.format.enabled);
        match self.format.method {
            // SAFETY: the area is aligned, as long as the CPU says, and has no reserved bit set.
            Method::Fxsave => unsafe {
                core::arch::asm!("fxrstor64 [{}]", in(reg) from, options(nostack, preserves_flags));
            },
            // SAFETY: as above, and the header names enabled components only.
            Method::Xsave | Method::Xsaveopt => unsafe {
                core::arch::asm!(
                    "xrstor64 [{}]", in(reg) from, in("eax") low, in("edx") high,
                    options(nostack, preserves_flags)
                );
            },
        }
    }

    /// The state's bytes, with every component there: XSAVE leaves out those in their initial
    /// state.
    pub(super) fn bytes(&mut self) -> &[u8] {
        if self.format.method != Method::Fxsave {
            let present = u64::from_le_bytes(array(&self.area.bytes()[PRESENT]));
            self.put_initial_values(!present);
        }
        &self.area.bytes()[..self.format.size]
    }

    /// Takes a state from what a user wrote: as long as [`Self::bytes`], or only its legacy part,
    /// with which the other components are in their initial state. What cannot be is made harmless;
    /// `false`, and nothing is changed, when the length is neither.
    pub(super) fn set_bytes(&mut self, from: &[u8]) -> bool {
        let is_legacy = from.len() == LEGACY_BYTES;
        if !is_legacy && from.len() != self.format.size {
            return false;
        }
        let (mask, enabled) = (self.format.mxcsr_mask, self.format.enabled);
        let area = self.area.bytes_mut();
        area.fill(0);
        area[..from.len()].copy_from_slice(from);
        let mxcsr = u32::from_le_bytes(array(&from[MXCSR])) & mask;
        area[MXCSR].copy_from_slice(&mxcsr.to_le_bytes());
        if self.format.method != Method::Fxsave {
            let present = match is_legacy {
                true => X87_AND_SSE,
                false => u64::from_le_bytes(array(&from[PRESENT])) & enabled,
            };
            // The rest of the header: no compaction, reserved.
            area[HEADER].fill(0);
            area[PRESENT].copy_from_slice(&present.to_le_bytes());
        }
        true
    }

    /// Fills components (a mask) with what they begin with. MXCSR is none of them: it is always
    /// stored and loaded.
    fn put_initial_values(&mut self, which: u64) {
        let area = self.area.bytes_mut();
        if which & 1 != 0 {
            X87.into_iter().for_each(|part| area[part].fill(0));
            area[CONTROL_WORD].copy_from_slice(&INITIAL_CONTROL_WORD.to_le_bytes());
        }
        if which & 2 != 0 {
            area[SSE].fill(0);
        }
        for component in &self.format.components {
            if which & component.bit != 0 {
                area[component.place.clone()].fill(0);
            }
        }
    }
}

/// The low and the high half of a mask, as XSAVE takes it.
fn halves(mask: u64) -> (u32, u32) {
    (mask as u32, (mask >> 32) as u32)
}

#[cfg(test)]
mod tests;
