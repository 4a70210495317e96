//! No page is both writable and executable, none is in the lower half or open to user mode, and
//! below every stack there is a guard.

use vortex_hal::cores;
use vortex_hal::paging::{self, Census, current_translation};
use vortex_hal::stacks::Stack;
use vortex_kernel_base::report::Bytes;

use super::{Failure, ensure};

pub(super) fn check() -> Result<(), Failure> {
    let census = paging::census().map_err(|error| Failure::new(format_args!("{error}")))?;
    let Census {
        writable,
        executable,
        read_only,
        ..
    } = census;
    log::info!(
        "mapped: {} writable, {} executable, {} read-only",
        Bytes(writable),
        Bytes(executable),
        Bytes(read_only)
    );
    let forbidden = [
        ("writable and executable", census.writable_and_executable),
        ("in the lower half", census.lower_half),
        ("open to user mode", census.user),
    ];
    for (what, bytes) in forbidden {
        ensure(bytes == 0, format_args!("{bytes} bytes are {what}"))?;
    }
    ensure(executable > 0, format_args!("the walk saw no code"))?;
    cores::online()
        .try_for_each(|core| Stack::all_of(core.index()).try_for_each(|stack| check_guard(&stack)))
}

fn check_guard(stack: &Stack) -> Result<(), Failure> {
    let bottom = stack.bottom();
    let mapped = |address| current_translation(address).is_some();
    ensure(
        mapped(bottom),
        format_args!("stack {bottom:#x} is not mapped"),
    )?;
    ensure(
        !mapped(bottom - 1),
        format_args!("below the stack at {bottom:#x} there is no guard"),
    )
}
