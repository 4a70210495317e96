//! The Vortex kernel: entry and wiring. The only crate that knows all others.
//!
//! Boot goes through three stages: [`enter`] on the boot loader's page tables and stack, until
//! the kernel has its own; [`start`] on those, until all cores are up; then they enter the grid,
//! where each is in its loop.
#![no_std]
#![no_main]

extern crate alloc;

mod boot;
mod console;
mod deliberate;
mod devices;
mod disks;
mod grid;
mod image;
mod jobs;
mod machine;
mod nics;
mod options;
mod panic;
mod processes;
mod ramdisk;
mod selftest;

use bootloader_api::config::{BootloaderConfig, Mapping};
use bootloader_api::info::MemoryRegion;
use bootloader_api::{BootInfo, entry_point};
use vortex_hal::cores::{self, CoreIndex};
use vortex_hal::cpu::{self, Features};
use vortex_hal::stacks::{Purpose, Stack};
use vortex_hal::{clock, frames, gdt, heap, interrupts, logging, paging, power, stacks, traps};
use vortex_kernel_base::options::{Addressing, OnIdle};
use vortex_kernel_base::report::Bytes;

use crate::boot::Handover;
use crate::grid::{Local, Wired};

#[global_allocator]
static HEAP: heap::KernelHeap = heap::KernelHeap;

/// What the kernel cannot do without, in bytes of usable memory.
const MINIMUM_MEMORY: u64 = 64 << 20;

/// What the boot loader is told: the direct map is where our own page tables will have it too.
static CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::FixedAddress(paging::DIRECT_MAP));
    config
};

entry_point!(enter, config = &CONFIG);

/// The boot loader's page tables and stack: get our own.
fn enter(boot_info: &'static mut BootInfo) -> ! {
    clock::mark_entry();
    cores::install(CoreIndex::BOOT);
    logging::init();
    gdt::load();
    traps::on_exception(panic::exception);
    interrupts::on_unexpected(panic::unexpected_interrupt);
    traps::load();
    stacks::set_early(boot_info.kernel_stack_bottom, boot_info.kernel_stack_len);
    log::info!("Vortex {}", env!("CARGO_PKG_VERSION"));
    let features = Features::detect();
    cpu::protect(&features);
    let handover = Handover::keep(boot_info);
    take_memory(&features, handover, &boot_info.memory_regions);
    switch_to_own_tables()
}

/// Makes the frame allocator, the kernel's page tables and the boot core's stacks.
fn take_memory(features: &Features, handover: &Handover, regions: &[MemoryRegion]) {
    let mut map = boot::memory_map(regions);
    let memory = (map.main_frames() + map.low_frames()) * 4096;
    if memory < MINIMUM_MEMORY {
        panic::fail(format_args!(
            "too little memory: {} usable, at least {} needed",
            Bytes(memory),
            Bytes(MINIMUM_MEMORY)
        ));
    }
    log::info!("{} of memory", Bytes(memory));
    let whole = map.clone();
    boot::take_startup_page(&mut map);
    init_frames(&mut map);
    let direct = boot::direct_ranges(&whole, regions);
    let segments = image::segments(handover.kernel_file());
    let segments = segments.unwrap_or_else(|error| panic!("the kernel's ELF file: {error}"));
    paging::build(features, segments, direct)
        .and_then(|()| stacks::create(CoreIndex::BOOT))
        .unwrap_or_else(|error| panic!("making the page tables: {error}"));
}

#[expect(
    unsafe_code,
    reason = "only here is it known that the memory is nobody else's"
)]
fn init_frames(map: &mut vortex_kernel_base::memory_map::MemoryMap) {
    // SAFETY: these are the frames that the boot loader left for us, all of them are in the
    // direct map, its one now and ours later, and this is called once.
    let result = unsafe { frames::init(map) };
    result.unwrap_or_else(|error| panic!("the frame allocator: {error}"));
}

#[expect(
    unsafe_code,
    reason = "the stack is switched under the compiler's feet"
)]
fn switch_to_own_tables() -> ! {
    let stack = Stack {
        core: CoreIndex::BOOT,
        purpose: Purpose::Main,
    };
    // SAFETY: the stack has been created and nothing is on it yet.
    let result = unsafe { paging::enter(stack.top(), start) };
    match result {
        Ok(never) => match never {},
        Err(error) => panic!("switching to the page tables: {error}"),
    }
}

/// The kernel's own page tables and stack: bring up everything else.
extern "C" fn start() -> ! {
    gdt::set_trap_stacks(stacks::trap_stack_tops(CoreIndex::BOOT));
    heap::init().unwrap_or_else(|error| panic!("the kernel heap: {error}"));
    boot::add_screen();
    let ramdisk = ramdisk::open();
    let options = options::read(ramdisk.as_ref());
    log::set_max_level(options.log);
    let features = Features::detect();
    machine::bring_up(&features);
    let cores = cores::online().count();
    logging::print_line(format_args!("vortex: {cores} cores up"));
    logging::print_line(format_args!(
        "vortex: up after {} ms since kernel entry",
        clock::now_ns() / 1_000_000
    ));
    selftest::run(options.self_tests);
    if let Some(fault) = options.test {
        deliberate::commit(fault);
    }
    if options.self_tests.grid {
        on_idle(options.on_idle, selftest::run_on_grid(ramdisk.as_ref()));
    }
    let (shared, mut local) = grid::start::<processes::System>(ramdisk.as_ref());
    // The check of interfaces counts every frame.
    let addressing = match options.self_tests.net {
        true => Some(Addressing::None),
        false => options.addressing,
    };
    processes::attach_devices(shared, local.platform(), addressing);
    if options.self_tests.disk {
        selftest::run_on_disks(shared, &mut local);
        on_idle(options.on_idle, local);
    }
    if options.self_tests.net {
        selftest::run_on_interfaces(shared, &mut local);
        on_idle(options.on_idle, local);
    }
    if let Some(size) = options.terminal {
        console::attach(shared, size);
    }
    if processes::start_first(shared, local.platform(), options.root) {
        local.run_until(u64::MAX, || processes::ended().is_some());
    }
    if let Some(status) = processes::ended() {
        processes::report(status);
    }
    on_idle(options.on_idle, local)
}

/// There is no process left to run, or none to begin with.
fn on_idle<Y: Wired>(what: OnIdle, local: Local<Y>) -> ! {
    match what {
        OnIdle::PowerOff => power::off(),
        OnIdle::Reboot => power::reboot(),
        OnIdle::Halt => local.run(),
    }
}
