//! Carrying out the deliberate fault that the boot options ask for.

use core::sync::atomic::{AtomicUsize, Ordering};

use vortex_hal::cores::{self, CoreIndex};
use vortex_hal::deliberate;
use vortex_kernel_base::options::Fault;

use crate::jobs;

/// Commits `fault`. Comes back only when that is not possible, which is a panic of its own.
pub(crate) fn commit(fault: Fault) -> ! {
    match fault {
        Fault::NullDereference => deliberate::deliberate_null_dereference(),
        Fault::StackOverflow => {
            deliberate::deliberate_stack_overflow(0);
        }
        Fault::DivideByZero => deliberate::deliberate_division_by_zero(),
        Fault::InvalidOpcode => deliberate::deliberate_invalid_opcode(),
        Fault::DoubleFault => deliberate::deliberate_double_fault(),
        Fault::WriteToCode => deliberate::deliberate_write_to_code(),
        Fault::ExecuteData => deliberate::deliberate_execution_of_data(),
        Fault::GeneralProtection => deliberate::deliberate_general_protection_fault(),
        Fault::PanicOnCore(number) => panic_on(number),
        Fault::PanicEverywhere => panic_everywhere(),
        Fault::NestedPanic => deliberate::deliberate_nested_panic(),
    }
    panic!("the deliberate fault {fault:?} had no effect");
}

/// Has core `number` panic.
fn panic_on(number: u32) {
    let core = CoreIndex::new(number as usize)
        .map(cores::get)
        .filter(|core| core.is_online())
        .unwrap_or_else(|| panic!("panic-on-core={number}: there is no such core"));
    if core.index() == cores::current_index() {
        deliberate::deliberate_panic();
    }
    jobs::give(core, deliberate::deliberate_panic);
    jobs::idle()
}

/// Has all cores panic at the same moment.
fn panic_everywhere() {
    for core in cores::online_others() {
        jobs::give(core, panic_together);
    }
    panic_together();
}

/// Waits until all cores are here, so that none has reported before another one panics.
fn panic_together() {
    static HERE: AtomicUsize = AtomicUsize::new(0);
    let cores = cores::online().count();
    HERE.fetch_add(1, Ordering::AcqRel);
    while HERE.load(Ordering::Acquire) < cores {
        core::hint::spin_loop();
    }
    deliberate::deliberate_panic();
}
