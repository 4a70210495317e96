//! The kernel comes up on every machine it promises to, in time, and powers off.

use std::time::Duration;

use vortex_tests::{BootFrom, Exit, Machine, Mainboard, parts};

/// The machine comes up with all its cores and powers off.
#[track_caller]
fn comes_up(machine: Machine, cores: u32) {
    let mut machine = machine.smp(cores).start();
    let line = machine.wait_for("vortex: ");
    let expected = format!("vortex: {cores} cores up");
    if line.text != expected {
        machine.fail(&format!("expected the line {expected:?}"));
    }
    machine.expect_exit(&Exit::PowerOff);
}

#[test]
fn one_core() {
    comes_up(Machine::new(), 1);
}

#[test]
fn two_cores() {
    comes_up(Machine::new(), 2);
}

#[test]
fn four_cores() {
    comes_up(Machine::new(), 4);
}

#[test]
fn eight_cores() {
    comes_up(Machine::new(), 8);
}

#[test]
fn by_pxe() {
    comes_up(Machine::new().boot(BootFrom::Pxe), 2);
}

#[test]
fn by_pxe_on_pc() {
    comes_up(
        Machine::new().boot(BootFrom::Pxe).mainboard(Mainboard::Pc),
        8,
    );
}

#[test]
fn with_256_mib() {
    comes_up(Machine::new().memory("256M"), 2);
}

#[test]
fn with_256_mib_and_eight_cores_by_pxe() {
    comes_up(Machine::new().memory("256M").boot(BootFrom::Pxe), 8);
}

#[test]
fn with_8_gib() {
    comes_up(Machine::new().memory("8G"), 2);
}

#[test]
fn with_8_gib_on_pc() {
    comes_up(Machine::new().memory("8G").mainboard(Mainboard::Pc), 4);
}

#[test]
fn on_pc() {
    comes_up(Machine::new().mainboard(Mainboard::Pc), 2);
}

#[test]
fn on_the_oldest_processor() {
    comes_up(Machine::new().cpu("qemu64"), 2);
}

#[test]
fn on_the_oldest_processor_and_pc() {
    comes_up(Machine::new().cpu("qemu64").mainboard(Mainboard::Pc), 8);
}

#[test]
fn on_the_most_capable_processor() {
    comes_up(Machine::new().cpu("max"), 4);
}

#[test]
fn with_several_sockets() {
    comes_up(
        Machine::new().qemu_args(&["-smp", "4,sockets=2,cores=2"]),
        4,
    );
}

/// From the last word of the firmware, which is before the boot loader, to `cores up`; guests run
/// in real time, so the host's clock is the guest's.
#[track_caller]
fn up_within_a_second(machine: Machine, cores: u32) {
    const LIMIT: Duration = Duration::from_secs(1);
    let mut machine = machine.smp(cores).alone().start();
    let firmware = machine.wait_for("BdsDxe: starting");
    let up = machine.wait_for(&format!("vortex: {cores} cores up"));
    let took = up.at - firmware.at;
    println!("{cores} cores up {took:?} after the firmware");
    if took >= LIMIT {
        machine.fail(&format!("{took:?} from the firmware to {cores} cores up"));
    }
    machine.expect_exit(&Exit::PowerOff);
}

#[test]
fn one_core_is_up_within_a_second() {
    up_within_a_second(Machine::new(), 1);
}

#[test]
fn eight_cores_are_up_within_a_second() {
    up_within_a_second(Machine::new(), 8);
}

#[test]
fn eight_cores_are_up_within_a_second_with_8_gib() {
    up_within_a_second(Machine::new().memory("8G"), 8);
}

#[test]
fn the_kernel_is_small() {
    let kernel = std::fs::metadata(&parts().unwrap().kernel).unwrap();
    println!("the kernel has {} bytes", kernel.len());
    assert!(
        kernel.len() < 4 << 20,
        "the kernel has {} bytes",
        kernel.len()
    );
    assert!(
        kernel.len() > 4096,
        "that is no kernel: {} bytes",
        kernel.len()
    );
}

#[test]
fn reboots_when_told_to() {
    let mut machine = Machine::new().smp(2).option("on-idle=reboot").start();
    machine.wait_for("vortex: 2 cores up");
    machine.expect_exit(&Exit::Reset);
}

#[test]
fn powers_off_without_the_exit_device() {
    comes_up(Machine::new().no_debug_exit(), 2);
}
