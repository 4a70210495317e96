//! The grid on the kernel's cores: the configuration it is built from, and its check of itself.

use vortex_tests::{Exit, Machine};
use xtask::{ramdisk, workspace};

/// The kernel's own check: every request executed once, shares by weight, no cycle in no account.
#[track_caller]
fn checks_itself(cores: u32) {
    let mut machine = Machine::new().smp(cores).option("selftest=grid").start();
    machine.wait_for(&format!("vortex: {cores} cores up"));
    let figures = machine.wait_for("selftest grid: ");
    println!("{}", figures.text);
    // 20 for each core, and one into a full inbox.
    let interrupts = 20 * cores + 1;
    for expected in [
        format!("on {cores} cores, "),
        format!(", {interrupts} interrupts, "),
        ", 0 in no account".into(),
    ] {
        if !figures.text.contains(&expected) {
            machine.fail(&format!("the figures are without {expected:?}"));
        }
    }
    machine.wait_for("selftest grid: ok");
    machine.expect_exit(&Exit::PowerOff);
}

#[test]
fn one_core_checks_itself() {
    checks_itself(1);
}

#[test]
fn two_cores_check_themselves() {
    checks_itself(2);
}

#[test]
fn four_cores_check_themselves() {
    checks_itself(4);
}

/// A ramdisk with this configuration and nothing else that matters.
fn with_configuration(configuration: &[u8], options: &str) -> Vec<u8> {
    let files = [
        (ramdisk::CONFIG, configuration),
        (ramdisk::OPTIONS, options.as_bytes()),
    ];
    ramdisk::archive(&files).unwrap()
}

fn example(name: &str) -> Vec<u8> {
    let path = workspace::root().join("sched-config/examples").join(name);
    std::fs::read(path).unwrap()
}

/// With `configuration` the log says all of `expected`, in this order, and all is well.
#[track_caller]
fn says(configuration: &[u8], cores: u32, expected: &[&str]) {
    let ramdisk = with_configuration(configuration, "selftest=grid\n");
    let mut machine = Machine::new().smp(cores).ramdisk(ramdisk).start();
    machine.wait_for(&format!("vortex: {cores} cores up"));
    for expected in expected {
        machine.wait_for(expected);
    }
    machine.wait_for("selftest grid: ok");
    machine.expect_exit(&Exit::PowerOff);
}

const FALLBACK: &str = "the built-in configuration is used";

#[test]
fn the_cpu_experiment() {
    let expected = [
        "grid: 4 cores, 0 resources, 4 activities, configuration vortex.xml",
        "grid: core 0: propshare.wfq for 4 schedulers",
        "grid: core 3: propshare.wfq for 4 schedulers",
        "grid: propshare.round-robin on cores 0-3: resource.thread",
    ];
    says(&example("cpu.xml"), 4, &expected);
}

#[test]
fn a_configuration_with_faults() {
    let text = String::from_utf8(example("cpu.xml")).unwrap();
    let faulty = text.replacen("propshare.wfq", "propshare.wqf", 1);
    let line = 1 + text[..text.find("propshare.wfq").unwrap()]
        .matches('\n')
        .count();
    let place = format!("vortex.xml: line {line}, column 16: ");
    let expected = [&place, FALLBACK, "grid: 2 cores, "];
    says(faulty.as_bytes(), 2, &expected);
}

#[test]
fn a_configuration_that_is_cut_off() {
    let mut bytes = example("cpu.xml");
    bytes.truncate(bytes.len() / 2);
    let expected = ["expected well-formed XML", FALLBACK, "grid: 2 cores, "];
    says(&bytes, 2, &expected);
}

#[test]
fn a_configuration_for_more_cores_than_there_are() {
    let expected = [
        "core 2 is not there: expected a core of the machine, 0 to 1",
        "core 3 is not there",
        FALLBACK,
        "grid: 2 cores, 0 resources, 1 activities, configuration built-in",
    ];
    says(&example("cpu.xml"), 2, &expected);
}

/// The boot core is one of those that the configuration does not name.
#[test]
fn a_configuration_for_some_of_the_cores() {
    let configuration = br#"<?xml version="1.0" encoding="UTF-8"?>
<schedulerconfig>
  <cpumultiplexor tag="one"><core>1</core><algorithm>propshare.wfq</algorithm></cpumultiplexor>
  <cpumultiplexor tag="two"><core>2</core><algorithm>priority.strict</algorithm></cpumultiplexor>
  <resourcescheduler>
    <resource>resource.interrupt</resource>
    <algorithm>fifo</algorithm>
    <cpumultiplexor><tag>one</tag><share>100</share></cpumultiplexor>
    <cpumultiplexor><tag>two</tag><priority>1</priority></cpumultiplexor>
  </resourcescheduler>
</schedulerconfig>
"#;
    let expected = [
        "grid: 2 cores, 1 resources, 1 activities, configuration vortex.xml",
        "grid: core 1: propshare.wfq for 2 schedulers",
        "grid: core 2: priority.strict for 2 schedulers",
        "grid: fifo on cores 1-2: resource.interrupt",
        "grid: not named by the configuration, and idle: cores 0, 3",
    ];
    says(configuration, 4, &expected);
}

#[test]
fn no_configuration() {
    let ramdisk = ramdisk::archive(&[(ramdisk::OPTIONS, b"on-idle=power-off\n")]).unwrap();
    let mut machine = Machine::new().smp(2).ramdisk(ramdisk).start();
    machine.wait_for("no file \"vortex.xml\"");
    machine.wait_for(FALLBACK);
    machine.wait_for("grid: 2 cores, ");
    machine.expect_exit(&Exit::PowerOff);
}
