//! The kernel's checks of itself, on several machines: what needs its real page tables, cores and
//! timers.

use vortex_tests::{Exit, Machine, Mainboard};

const CHECKS: [&str; 5] = ["page-tables", "tlb", "ipi", "timer", "user"];

#[track_caller]
fn checks_itself(machine: Machine, cores: u32) {
    let option = format!("selftest={}", CHECKS.join(","));
    let mut machine = machine.smp(cores).option(&option).start();
    machine.wait_for(&format!("vortex: {cores} cores up"));
    for check in CHECKS {
        machine.wait_for(&format!("selftest {check}: ok"));
    }
    machine.expect_exit(&Exit::PowerOff);
}

#[test]
fn on_one_core() {
    checks_itself(Machine::new(), 1);
}

#[test]
fn on_four_cores() {
    checks_itself(Machine::new(), 4);
}

#[test]
fn on_eight_cores_of_the_oldest_processor() {
    checks_itself(Machine::new().cpu("qemu64").mainboard(Mainboard::Pc), 8);
}
