//! What is missing or broken is named, and what can go on does: never a silent hang.

use vortex_tests::{Exit, Machine, Mainboard};
use xtask::ramdisk;

/// A sound ramdisk, to damage.
fn sound_ramdisk() -> Vec<u8> {
    ramdisk::build(None, &["on-idle=power-off".into()]).unwrap()
}

/// The kernel says `complaint` and that it goes on with its defaults, and comes up.
#[track_caller]
fn goes_on_with_defaults(machine: Machine, complaint: &str) {
    let mut machine = machine.smp(2).start();
    machine.wait_for("vortex: 2 cores up");
    machine.expect_exit(&Exit::PowerOff);
    let log = machine.log();
    for needed in [complaint, "built-in defaults are used"] {
        if !log.contains(needed) {
            machine.fail(&format!("the log does not say {needed:?}"));
        }
    }
}

#[test]
fn no_ramdisk() {
    goes_on_with_defaults(Machine::new().no_ramdisk(), "no boot ramdisk");
}

#[test]
fn truncated_ramdisk() {
    let mut bytes = sound_ramdisk();
    bytes.truncate(700);
    goes_on_with_defaults(Machine::new().ramdisk(bytes), "ramdisk");
}

#[test]
fn ramdisk_truncated_inside_a_header() {
    let mut bytes = sound_ramdisk();
    bytes.truncate(100);
    goes_on_with_defaults(Machine::new().ramdisk(bytes), "ramdisk");
}

#[test]
fn ramdisk_of_noise() {
    let bytes = (0..4096_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    goes_on_with_defaults(Machine::new().ramdisk(bytes), "ramdisk");
}

#[test]
fn ramdisk_with_an_unknown_file_only() {
    comes_up(Machine::new().ramdisk(ramdisk::archive(&[("unknown", b"")]).unwrap()));
}

#[test]
fn unknown_boot_option() {
    let mut machine = Machine::new().option("no-such-option=1").start();
    machine.wait_for("no-such-option");
    machine.wait_for("vortex: 1 cores up");
    machine.expect_exit(&Exit::PowerOff);
}

/// The kernel comes up, whatever it is not given.
#[track_caller]
fn comes_up(machine: Machine) {
    let mut machine = machine.smp(2).start();
    machine.wait_for("vortex: 2 cores up");
    machine.expect_exit(&Exit::PowerOff);
}

#[test]
fn no_hpet() {
    comes_up(Machine::new().qemu_args(&["-machine", "hpet=off"]));
}

#[test]
fn no_hpet_on_pc() {
    let machine = Machine::new().mainboard(Mainboard::Pc).cpu("qemu64");
    comes_up(machine.qemu_args(&["-machine", "hpet=off"]));
}

#[test]
fn no_screen() {
    comes_up(Machine::new().qemu_args(&["-vga", "none"]));
}

#[test]
fn no_default_devices() {
    comes_up(Machine::new().qemu_args(&["-nodefaults"]));
}

#[test]
fn no_x2apic() {
    comes_up(Machine::new().cpu("max,-x2apic"));
}

#[test]
fn no_deadline_timer() {
    comes_up(Machine::new().cpu("max,-tsc-deadline"));
}

#[test]
fn too_little_memory() {
    let mut machine = Machine::new().memory("60M").start();
    machine.wait_for("too little memory");
    machine.expect_exit(&Exit::Status(1));
}

/// Without these tables nobody says which other cores there are, or how to power off.
#[test]
fn no_acpi_tables() {
    let mut machine = Machine::new()
        .smp(2)
        .qemu_args(&["-machine", "acpi=off"])
        .start();
    machine.wait_for("ACPI");
    machine.wait_for("vortex: 1 cores up");
    machine.expect_exit(&Exit::Status(0));
}

/// Then a kernel that cannot go on says so and stands still; `--timeout` ends it.
#[test]
fn no_way_to_give_a_status() {
    let mut machine = Machine::new()
        .option("test=null-deref")
        .no_debug_exit()
        .start();
    machine.wait_for("core 0 died");
    machine.wait_for("vortex: failed, status 101");
}
