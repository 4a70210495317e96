//! Whole processes on the fake machine.

use alloc::vec;

use linux_raw_sys::general as linux;

use crate::fake::program::register::{R12, RAX};
use crate::fake::program::{Condition, DATA, Operand, Program};
use crate::fake::world::World;
use crate::process::ExitStatus;

const MS: u64 = 1_000_000;

fn exit_group(program: &mut Program, status: u64) {
    program.call(linux::__NR_exit_group, &[status.into()]);
}

#[test]
fn a_process_ends_with_its_status() {
    let mut program = Program::new();
    program.compute(1000);
    exit_group(&mut program, 7);
    let mut world = World::new(1, 1000, &[("a", 100)], 5000, vec![program]);
    world.start(0, 1);
    assert_eq!(world.run(100 * MS), ExitStatus::Exited(7));
    world.check_empty();
}
