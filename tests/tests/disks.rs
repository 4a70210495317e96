//! Disks at every controller: the kernel's check reads, writes and flushes them, and the host
//! compares.

use vortex_tests::disks::Image;
use vortex_tests::{Exit, Machine, RunningMachine};
use xtask::disks::{Backing, Controller, Disk, arguments};

const ALL: [Controller; 3] = [
    Controller::VirtioScsi,
    Controller::Megasas,
    Controller::MegasasGen2,
];

fn start(controller: Controller, disks: &[Disk], cores: u32) -> RunningMachine {
    let arguments = arguments(controller, Backing::Durable, disks);
    let arguments: Vec<_> = arguments.iter().filter_map(|one| one.to_str()).collect();
    let machine = Machine::new().smp(cores).option("selftest=disk");
    machine.qemu_args(&arguments).start()
}

/// A disk of each controller is copied and ends as it should be.
#[track_caller]
fn copies(controller: Controller, cores: u32) {
    let image = Image::new();
    let mut machine = start(controller, &[Disk::new(image.path())], cores);
    machine.wait_for("disk: sda 8388608 bytes in blocks of 512, write");
    machine.wait_for(
        "disk: sda: 2097152 bytes read, 2097152 written and read, 0 requests failed, flush Ok(())",
    );
    machine.wait_for("selftest disk: ok");
    machine.expect_exit(&Exit::PowerOff);
    image.expect_copied();
}

#[test]
fn every_controller_reads_and_writes() {
    for controller in ALL {
        copies(controller, 1);
    }
}

#[test]
fn on_four_cores_too() {
    for controller in ALL {
        copies(controller, 4);
    }
}

/// Without messages, a device interrupts by its pin. It is polled until the first interrupt comes, and
/// from there on nobody would see that a command has ended if no more of them came.
#[test]
fn a_controller_without_messages_interrupts_by_its_pin() {
    for (controller, name, without) in [
        (Controller::VirtioScsi, "virtio-scsi-pci", "vectors=0"),
        (Controller::Megasas, "megasas", "msi=off,msix=off"),
        (Controller::MegasasGen2, "megasas-gen2", "msi=off,msix=off"),
    ] {
        let image = Image::new();
        let disks = arguments(controller, Backing::Durable, &[Disk::new(image.path())]);
        let mut disks: Vec<String> = disks
            .into_iter()
            .filter_map(|one| one.into_string().ok())
            .collect();
        let device = disks.iter_mut().find(|one| one.starts_with(name));
        let device = device.expect("there is a controller");
        *device = device.replacen(name, &format!("{name},{without}"), 1);
        let arguments: Vec<&str> = disks.iter().map(String::as_str).collect();
        let machine = Machine::new().smp(2).option("selftest=disk");
        let mut machine = machine.qemu_args(&arguments).start();
        machine.wait_for("interrupts Pin");
        machine.wait_for("its device is polled no more");
        machine
            .wait_for("disk: sda: 2097152 bytes read, 2097152 written and read, 0 requests failed");
        machine.wait_for("selftest disk: ok");
        machine.expect_exit(&Exit::PowerOff);
        image.expect_copied();
    }
}

#[test]
fn a_machine_without_disks_says_so_at_once() {
    let mut machine = Machine::new().option("selftest=disk").start();
    machine.wait_for("selftest disk: ok");
    machine.expect_exit(&Exit::PowerOff);
}

/// An entry of an MBR's table: what it is, its first block, its blocks.
fn entry(kind: u8, first: u32, blocks: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4] = kind;
    bytes[8..12].copy_from_slice(&first.to_le_bytes());
    bytes[12..].copy_from_slice(&blocks.to_le_bytes());
    bytes
}

#[test]
fn partitions_are_found_and_a_protected_disk_is_not_written() {
    let (with_table, protected) = (Image::new(), Image::new());
    with_table.put(446, &entry(0x83, 2048, 4096));
    with_table.put(462, &entry(0x83, 16_000, 1000));
    with_table.put(478, &entry(0x82, 8192, 512));
    with_table.put(510, &[0x55, 0xaa]);
    let mut second = Disk::new(protected.path());
    second.read_only = true;
    let disks = [Disk::new(with_table.path()), second];
    let mut machine = start(Controller::VirtioScsi, &disks, 1);
    for line in [
        "disk: sda 8388608 bytes in blocks of 512, write",
        "disk: sda1 2097152 bytes in blocks of 512, write",
        "disk: sda3 262144 bytes in blocks of 512, write",
        "disk: sdb 8388608 bytes in blocks of 512, read",
        "disk: sda: 2097152 bytes read, 2097152 written and read, 0 requests failed",
        "disk: sdb: 2097152 bytes read, 0 written and read, 0 requests failed",
        "selftest disk: ok",
    ] {
        machine.wait_for(line);
    }
    machine.expect_exit(&Exit::PowerOff);
    with_table.expect_copied();
}

/// What cannot be read is an error for who asked, and for nobody else: not for those whose requests
/// were merged with it, and not on the other disk.
#[test]
fn a_bad_sector_is_an_error_for_its_reader_alone() {
    let (bad, good) = (Image::new(), Image::new());
    let rules = bad.path().with_extension("rules");
    let text =
        "[inject-error]\nevent = \"read_aio\"\nerrno = \"5\"\nsector = \"2048\"\nonce = \"off\"\n";
    std::fs::write(&rules, text).expect("a file of rules");
    for controller in [Controller::VirtioScsi, Controller::MegasasGen2] {
        let mut first = Disk::new(bad.path());
        first.faults = Some(rules.clone());
        let disks = [first, Disk::new(good.path())];
        let mut machine = start(controller, &disks, 1);
        // The first request of all is the 512 bytes at 1 MiB.
        machine.wait_for(
            "disk: sda: 2096640 bytes read, 2096640 written and read, 1 requests failed, flush Ok(())",
        );
        machine
            .wait_for("disk: sdb: 2097152 bytes read, 2097152 written and read, 0 requests failed");
        machine.wait_for("selftest disk: ok");
        machine.expect_exit(&Exit::PowerOff);
        good.expect_copied();
    }
}

/// Six MiB at two a second.
#[test]
fn a_slow_disk_is_waited_for() {
    let image = Image::new();
    let mut disk = Disk::new(image.path());
    disk.throttle = Some(2 << 20);
    let mut machine = start(Controller::VirtioScsi, &[disk], 1);
    machine.wait_for("selftest disk: ok");
    machine.expect_exit(&Exit::PowerOff);
    image.expect_copied();
}
