//! The test library itself: however a test ends, its guest does too, and a failed test's log stays.

use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use vortex_tests::{BootFrom, DEADLINE, Exit, Machine, RunningMachine};

/// A guest that never ends by itself: the firmware with nothing to boot.
fn endless() -> RunningMachine {
    let mut machine = Machine::new().boot(BootFrom::Nothing).start();
    machine.wait_for("BdsDxe");
    machine
}

#[track_caller]
fn assert_gone(id: u32) {
    let deadline = Instant::now() + DEADLINE;
    let pid = Pid::from_raw(id.try_into().unwrap()).unwrap();
    while test_kill_process(pid).is_ok() {
        assert!(Instant::now() < deadline, "QEMU {id} is left behind");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_dropped_machine_is_gone_and_so_is_its_log() {
    let machine = endless();
    let (qemu, log) = (machine.qemu_id(), machine.log_path().to_owned());
    assert!(log.is_file());
    drop(machine);
    assert_gone(qemu);
    assert!(!log.exists());
}

#[test]
fn a_panic_ends_the_guest_and_keeps_its_log() {
    let mut seen: Option<(u32, PathBuf)> = None;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let machine = endless();
        seen = Some((machine.qemu_id(), machine.log_path().to_owned()));
        panic!("on purpose");
    }));
    assert!(result.is_err());
    let (qemu, log) = seen.unwrap();
    assert_gone(qemu);
    assert!(std::fs::read_to_string(&log).unwrap().contains("BdsDxe"));
    std::fs::remove_file(log).unwrap();
}

#[test]
fn what_does_not_come_is_a_failure_with_the_log_in_it() {
    let result = catch_unwind(|| {
        // QEMU refuses this and ends at once.
        let mut machine = Machine::new()
            .boot(BootFrom::Nothing)
            .qemu_args(&["-device", "no-such"])
            .start();
        let log = machine.log_path().to_owned();
        let waited = catch_unwind(AssertUnwindSafe(|| machine.wait_for("never")));
        let exit = machine.wait_for_exit();
        drop(machine);
        assert!(!log.exists());
        (waited.unwrap_err(), exit)
    });
    let (message, exit) = result.unwrap();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(
        message.contains("\"never\"") && message.contains("no-such"),
        "{message}"
    );
    assert!(matches!(exit, Exit::Qemu(_)), "{exit:?}");
}

/// The variable that makes [`hangs_when_told_to`] hang.
const HANG: &str = "VORTEX_TEST_HANGS";

/// No test by itself: the test below runs it in a process that it kills.
#[test]
fn hangs_when_told_to() {
    if std::env::var_os(HANG).is_some() {
        let machine = endless();
        println!(
            "qemu {} {}",
            machine.qemu_id(),
            machine.log_path().display()
        );
        loop {
            std::thread::park();
        }
    }
}

#[test]
fn a_killed_test_ends_its_guest_and_keeps_its_log() {
    for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
        let mut test = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hangs_when_told_to", "--nocapture"])
            .env(HANG, "yes")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(test.stdout.take().unwrap());
        let line = output.lines().map_while(Result::ok).find_map(|line| {
            // libtest has its own words before it on the same line.
            line.split_once("qemu ").map(|(_, rest)| rest.to_owned())
        });
        let line = line.expect("the test says which QEMU it has");
        let (qemu, log) = line.split_once(' ').unwrap();
        kill_process(Pid::from_child(&test), signal).unwrap();
        test.wait().unwrap();
        assert_gone(qemu.parse().unwrap());
        assert!(std::fs::read_to_string(log).unwrap().contains("BdsDxe"));
        std::fs::remove_file(log).unwrap();
    }
}
