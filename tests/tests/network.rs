//! Network interfaces: the kernel's check has each ask QEMU's gateway for its address, once and then
//! thousands of times.

use vortex_tests::{Exit, Machine, RunningMachine};
use xtask::network::{Link, Namespace};
use xtask::nic::{Nic, arguments};

/// What the check asks.
const QUESTIONS: u64 = 4001;

fn start(nics: &[Nic], cores: u32) -> RunningMachine {
    let mut machine = Machine::new().smp(cores).option("selftest=net");
    for (number, nic) in nics.iter().enumerate() {
        let arguments = arguments(*nic, number, &[]);
        let arguments: Vec<_> = arguments.iter().filter_map(|one| one.to_str()).collect();
        machine = machine.qemu_args(&arguments);
    }
    machine.start()
}

/// The numbers in a line.
fn numbers(line: &str) -> Vec<u64> {
    let parts = line.split(|c: char| !c.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// All questions are answered, also those for which the ring was full.
#[track_caller]
fn answers(machine: &mut RunningMachine, name: &str) {
    machine.wait_for(&format!("net: {name} "));
    all_are_answered(machine, name);
}

#[track_caller]
fn all_are_answered(machine: &mut RunningMachine, name: &str) {
    let line = machine.wait_for(&format!("net: {name}: {QUESTIONS} frames sent, "));
    let line = line.text;
    let all = numbers(line.rsplit_once(": ").map_or("", |(_, rest)| rest));
    let [sent, received, lost, full, resets, ..] = all[..] else {
        panic!("another line: {line}");
    };
    assert_eq!((sent, lost, resets), (QUESTIONS, 0, 0), "{line}");
    assert!(received >= QUESTIONS, "{line}");
    assert!(full > 0, "the ring was never full: {line}");
    interrupts_are_few(machine, name);
}

/// Under load a device interrupts less often than it has something to say, and an interrupt for which a
/// request waits already makes no other one.
#[track_caller]
fn interrupts_are_few(machine: &mut RunningMachine, name: &str) {
    let line = machine.wait_for(&format!(
        "net: {name}: interrupts for {} packets: ",
        QUESTIONS - 1
    ));
    let line = line.text;
    let all = numbers(line.rsplit_once(": ").map_or("", |(_, rest)| rest));
    let [interrupts, requests] = all[..] else {
        panic!("another line: {line}");
    };
    assert!((1..QUESTIONS / 2).contains(&interrupts), "{line}");
    assert!((1..=interrupts).contains(&requests), "{line}");
}

#[track_caller]
fn checks_itself(nics: &[(Nic, &str)], cores: u32) {
    let kinds: Vec<_> = nics.iter().map(|(nic, _)| *nic).collect();
    let mut machine = start(&kinds, cores);
    for (_, name) in nics {
        answers(&mut machine, name);
    }
    machine.wait_for("selftest net: ok");
    machine.expect_exit(&Exit::PowerOff);
}

#[test]
fn virtio_net_sends_and_receives() {
    for cores in [1, 4] {
        checks_itself(&[(Nic::VirtioNet, "virtio-net")], cores);
    }
}

#[test]
fn e1000e_sends_and_receives() {
    for cores in [1, 4] {
        checks_itself(&[(Nic::E1000e, "e1000e")], cores);
    }
}

#[test]
fn both_at_the_same_time() {
    let both = [(Nic::VirtioNet, "virtio-net"), (Nic::E1000e, "e1000e")];
    checks_itself(&both, 2);
}

/// Where QEMU's network has several queues, there is a pair of rings for each processor.
#[test]
fn virtio_net_has_a_pair_of_rings_for_each_processor() {
    if let Some(obstacle) = Link::obstacle() {
        println!("not tested: {obstacle}");
        return;
    }
    // The gateway is the machine that this is, in a namespace of its own.
    let host = Namespace::new().unwrap();
    for arguments in [
        &["tuntap", "add", "tap0", "mode", "tap", "multi_queue"][..],
        &["address", "add", "10.0.2.2/24", "dev", "tap0"],
        // Room for all answers at once: a full queue loses some.
        &["link", "set", "tap0", "txqueuelen", "10000", "up"],
    ] {
        host.run("ip", arguments).unwrap();
    }
    let network = "tap,id=net0,ifname=tap0,queues=4,script=no,downscript=no";
    let device = "virtio-net-pci,netdev=net0,mq=on,vectors=10,romfile=";
    let machine = Machine::new().smp(4).option("selftest=net");
    let machine = machine.launcher(host.launcher());
    let arguments = ["-netdev", network, "-device", device];
    let mut machine = machine.qemu_args(&arguments).start();
    let line = machine.wait_for(" pairs of rings in use").text;
    assert!(line.contains("virtio-net: 4 pairs"), "{line}");
    all_are_answered(&mut machine, "virtio-net");
    machine.wait_for("selftest net: ok");
    machine.expect_exit(&Exit::PowerOff);
}

/// Polled until the first interrupt comes, and from there on only if no more of them came.
#[test]
fn an_interface_without_messages_interrupts_by_its_pin() {
    let arguments = arguments(Nic::VirtioNet, 0, &[]);
    let arguments: Vec<String> = arguments
        .iter()
        .filter_map(|one| one.to_str())
        .map(|one| one.replacen("virtio-net-pci", "virtio-net-pci,vectors=0", 1))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let machine = Machine::new().smp(2).option("selftest=net");
    let mut machine = machine.qemu_args(&arguments).start();
    machine.wait_for("interrupts Pin");
    machine.wait_for("its device is polled no more");
    all_are_answered(&mut machine, "virtio-net");
    machine.wait_for("selftest net: ok");
    machine.expect_exit(&Exit::PowerOff);
}

#[test]
fn a_machine_without_interfaces_says_so_at_once() {
    let mut machine = start(&[], 1);
    machine.wait_for("selftest net: ok");
    machine.expect_exit(&Exit::PowerOff);
}
