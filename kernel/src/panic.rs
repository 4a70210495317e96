//! The end: a report of what happened, where and why.

use core::panic::PanicInfo;

use vortex_hal::traps::{Exception, TrapFrame};
use vortex_hal::{cores, cpu, logging};

/// An exception in the kernel: reports it and never returns.
pub(crate) fn exception(exception: &Exception, frame: &TrapFrame) {
    logging::print_dying(format_args!(
        "core {}: {exception} at {:#x}\n{frame}",
        cores::current_index(),
        frame.rip
    ));
    cpu::halt_forever()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    logging::print_dying(format_args!("panic: {info}"));
    cpu::halt_forever()
}
