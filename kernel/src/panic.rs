//! The end: a report of what happened, where and why, and the failure status.
//!
//! Invariants: one core reports, all others stop first; the report takes locks by force, reads
//! only memory it has checked, and a second fault while reporting ends it with one more line.

use core::fmt::Arguments;
use core::panic::PanicInfo;

use vortex_hal::backtrace::Backtrace;
use vortex_hal::cores;
use vortex_hal::cpu;
use vortex_hal::logging::{print_dying, print_line};
use vortex_hal::stacks::{Purpose, Stack};
use vortex_hal::stop::{self, Claim};
use vortex_hal::traps::{Exception, TrapFrame};
use vortex_kernel_base::symbols::SymbolTable;

use crate::boot::Handover;

/// The status that the machine exits with after a report.
const STATUS: u8 = 101;

/// The status when the machine is not one the kernel can run on.
const STATUS_UNFIT: u8 = 1;

/// The most lines of a backtrace.
const MAX_LINES: usize = 64;

/// An exception in the kernel: reports it and never returns.
pub(crate) fn exception(exception: &Exception, frame: &TrapFrame) {
    let overflow = exception.address().and_then(overflowed_stack);
    let trace = || match exception.is_wild_call() {
        true => Backtrace::from_wild_call(frame.rsp, frame.rbp),
        false => Backtrace::from_registers(frame.rip, frame.rbp),
    };
    match overflow {
        Some(stack) => report(
            format_args!(
                "kernel stack overflow on core {}: {} bytes are full ({exception})",
                stack.core,
                stack.top() - stack.bottom()
            ),
            Some(frame),
            trace,
        ),
        None => report(format_args!("{exception}"), Some(frame), trace),
    }
}

/// The stack in whose guard page `address` is.
fn overflowed_stack(address: u64) -> Option<Stack> {
    Stack::containing(address)
        .filter(|stack| stack.purpose == Purpose::Main && stack.is_guard(address))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let message = info.message();
    match info.location() {
        Some(location) => report(
            format_args!("panic: {message}, at {location}"),
            None,
            Backtrace::from_here,
        ),
        None => report(format_args!("panic: {message}"), None, Backtrace::from_here),
    }
}

/// Stops the others, prints the report and exits.
fn report(cause: Arguments<'_>, frame: Option<&TrapFrame>, trace: impl FnOnce() -> Backtrace) -> ! {
    cpu::disable_interrupts();
    let me = cores::current_index();
    match stop::claim() {
        Claim::Stop => stop::obey(),
        Claim::Again => print_dying(format_args!(
            "\ncore {me} died again in its report: {cause}"
        )),
        Claim::Report => {
            let running = stop::others();
            print_dying(format_args!("\nvortex: core {me} died: {cause}"));
            if running > 0 {
                print_dying(format_args!("{running} other cores could not be stopped"));
            }
            if let Some(frame) = frame {
                print_dying(format_args!("registers of core {me}:\n{frame}"));
            }
            print_backtrace(trace(), frame.map(|frame| frame.rip), print_dying);
        }
    }
    exit(STATUS)
}

/// An interrupt nobody registered for: a device's fault or a driver's, not worth dying for.
pub(crate) fn unexpected_interrupt(frame: &TrapFrame) {
    let me = cores::current_index();
    log::error!(
        "unexpected interrupt, vector {:#x}, on core {me}: nobody registered for it; going on",
        frame.vector
    );
    print_line(format_args!("registers of core {me}:\n{frame}"));
    let trace = Backtrace::from_registers(frame.rip, frame.rbp);
    print_backtrace(trace, Some(frame.rip), print_line);
}

/// Prints a chain of calls, runs of one address as one line. All addresses but that of the
/// `trapped` instruction are where calls return to, so one byte before is still in the caller.
fn print_backtrace(trace: Backtrace, trapped: Option<u64>, print: fn(Arguments<'_>)) {
    print(format_args!("backtrace:"));
    let symbols = Handover::get().map(|handover| SymbolTable::new(handover.kernel_file(), 0));
    if let Some(Err(error)) = &symbols {
        print(format_args!("  (no names: {error})"));
    }
    let symbols = symbols.and_then(Result::ok);
    let mut trace = trace.enumerate().peekable();
    let mut lines = 0;
    while let Some((depth, address)) = trace.next() {
        if lines == MAX_LINES {
            print(format_args!("  and more"));
            return;
        }
        lines += 1;
        let exact = depth == 0 && trapped == Some(address);
        let inside = address.wrapping_sub(u64::from(!exact));
        match symbols.as_ref().and_then(|table| table.lookup(inside)) {
            Some(symbol) => print(format_args!("  {depth:>2}  {address:#018x}  {symbol}")),
            None => print(format_args!("  {depth:>2}  {address:#018x}")),
        }
        let mut again = 0;
        while trace.next_if(|&(_, next)| next == address).is_some() {
            again += 1;
        }
        if again > 0 {
            print(format_args!("      and {again} times again"));
        }
    }
}

/// Ends for a reason outside the kernel, such as too little memory: says so, without a report.
pub(crate) fn fail(reason: Arguments<'_>) -> ! {
    print_dying(format_args!("vortex: {reason}"));
    exit(STATUS_UNFIT)
}

/// Ends with the failure status; without a way to say it, halts.
fn exit(status: u8) -> ! {
    print_dying(format_args!("vortex: failed, status {status}"));
    vortex_hal::power::exit_failure(status);
    print_dying(format_args!("vortex: halted"));
    cpu::halt_forever()
}
