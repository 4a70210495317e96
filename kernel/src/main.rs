//! The Vortex kernel: entry and wiring. The only crate that knows all others.
#![no_std]
#![no_main]

use bootloader_api::config::{BootloaderConfig, Mapping};
use bootloader_api::{BootInfo, entry_point};
use vortex_hal::{cores, cpu, logging};

/// What the boot loader is told: the direct map is where our own page tables will have it too.
static CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::FixedAddress(0xffff_8000_0000_0000));
    config
};

entry_point!(enter, config = &CONFIG);

fn enter(_boot_info: &'static mut BootInfo) -> ! {
    cores::install(cores::CoreIndex::BOOT);
    logging::init();
    log::info!("Vortex {}", env!("CARGO_PKG_VERSION"));
    logging::print_line(format_args!("vortex: 1 cores up"));
    cpu::halt_forever()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    logging::print_dying(format_args!("panic: {info}"));
    cpu::halt_forever()
}
