//! What the boot loader hands over, copied to where it stays.
//!
//! Key types: [`Handover`]. The boot loader's own structures lie in mappings that end with its
//! page tables, so all that is needed later is copied here first.

use bootloader_api::BootInfo;
use bootloader_api::info::{FrameBuffer, MemoryRegion, MemoryRegionKind};
use spin::Once;
use vortex_hal::framebuffer::Geometry;
use vortex_hal::logging;
use vortex_hal::paging::{self, Access, DirectRange};
use vortex_kernel_base::address::Frame;
use vortex_kernel_base::memory_map::{MemoryMap, Region};

/// A piece of physical memory that holds a file.
#[derive(Clone, Copy, Debug)]
struct Extent {
    start: u64,
    length: u64,
}

impl Extent {
    /// Its bytes, in the direct map.
    #[expect(
        unsafe_code,
        reason = "the boot loader gives its files by their addresses"
    )]
    fn bytes(self) -> &'static [u8] {
        let start = paging::phys_to_virt(self.start);
        // SAFETY: the boot loader put a file there, in memory of its own that is never given to
        // anyone and is read-only in the direct map. The kernel's data is written through
        // another mapping, but nobody looks at it through this one.
        unsafe { core::slice::from_raw_parts(start, self.length as usize) }
    }
}

/// A framebuffer and where it is in physical memory.
#[derive(Clone, Copy, Debug)]
struct Screen {
    physical: u64,
    geometry: Geometry,
}

impl Screen {
    /// Describes `buffer`, which the boot loader has mapped.
    fn of(buffer: &FrameBuffer) -> Option<Self> {
        let info = buffer.info();
        Some(Self {
            physical: paging::current_translation(buffer.buffer().as_ptr() as u64)?,
            geometry: Geometry {
                width: info.width,
                height: info.height,
                stride: info.stride,
                bytes_per_pixel: info.bytes_per_pixel,
            },
        })
    }
}

/// What the boot loader said.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The ACPI root pointer's physical address.
    pub(crate) rsdp: Option<u64>,
    screen: Option<Screen>,
    ramdisk: Option<Extent>,
    kernel: Extent,
}

static HANDOVER: Once<Handover> = Once::new();

impl Handover {
    /// Copies what `info` says, once; while the boot loader's tables are in force.
    pub(crate) fn keep(info: &BootInfo) -> &'static Self {
        HANDOVER.call_once(|| Self {
            rsdp: info.rsdp_addr.into_option(),
            screen: info.framebuffer.as_ref().and_then(Screen::of),
            ramdisk: info.ramdisk_addr.into_option().and_then(|address| {
                let start = paging::current_translation(address)?;
                let length = info.ramdisk_len;
                Some(Extent { start, length })
            }),
            kernel: Extent {
                start: info.kernel_addr,
                length: info.kernel_len,
            },
        })
    }

    /// What was kept.
    pub(crate) fn get() -> Option<&'static Self> {
        HANDOVER.get()
    }

    /// The kernel's ELF file, symbols and all.
    pub(crate) fn kernel_file(&self) -> &'static [u8] {
        self.kernel.bytes()
    }

    /// The boot ramdisk, when there is one.
    pub(crate) fn ramdisk(&self) -> Option<&'static [u8]> {
        self.ramdisk.map(Extent::bytes)
    }
}

/// Shows the log on the screen, when there is one; on the kernel's own page tables.
#[expect(unsafe_code, reason = "a framebuffer is found by its address")]
pub(crate) fn add_screen() {
    let Some(screen) = HANDOVER.get().and_then(|handover| handover.screen) else {
        log::info!("there is no framebuffer; the log is on the serial port only");
        return;
    };
    // SAFETY: the boot loader says that the framebuffer is there, and gave it to the kernel.
    let result = unsafe { logging::add_screen(screen.physical, screen.geometry) };
    if let Err(error) = result {
        log::warn!("the framebuffer is not used: {error}");
    }
}

/// A page below 1 MiB, where other cores start.
static STARTUP_PAGE: Once<Option<Frame>> = Once::new();

/// Takes the page where other cores start out of `map`, once.
pub(crate) fn take_startup_page(map: &mut MemoryMap) {
    STARTUP_PAGE.call_once(|| map.take_low_frame());
}

/// The page where other cores start, when there is one.
pub(crate) fn startup_page() -> Option<Frame> {
    STARTUP_PAGE.get().copied().flatten()
}

/// The memory that the kernel may use.
pub(crate) fn memory_map(regions: &[MemoryRegion]) -> MemoryMap {
    let regions = regions.iter().map(|region| Region {
        start: region.start,
        end: region.end,
        usable: region.kind == MemoryRegionKind::Usable,
    });
    MemoryMap::new(regions, &[])
}

/// What goes into the direct map: the usable memory for all purposes; what the boot loader and
/// the firmware left there only to be read.
pub(crate) fn direct_ranges(
    map: &MemoryMap,
    regions: &[MemoryRegion],
) -> impl Iterator<Item = DirectRange> {
    /// UEFI's memory types where firmware keeps tables: its runtime services' code and data,
    /// ACPI's tables and ACPI's non-volatile storage (UEFI 2.10, 7.2).
    const FIRMWARE: [u32; 4] = [5, 6, 9, 10];
    let usable = map.low().iter().chain(map.main()).map(|range| DirectRange {
        start: range.start.address(),
        end: range.end.address(),
        access: Access::Write,
    });
    let left = regions.iter().filter(|region| match region.kind {
        MemoryRegionKind::Bootloader => true,
        MemoryRegionKind::UnknownUefi(kind) => FIRMWARE.contains(&kind),
        _ => false,
    });
    usable.chain(left.map(|region| DirectRange {
        start: region.start,
        end: region.end,
        access: Access::Read,
    }))
}
