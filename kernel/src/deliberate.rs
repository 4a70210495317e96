//! Carrying out the deliberate fault that the boot options ask for.

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
        Fault::PanicOnCore(number) => panic_on(number),
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
