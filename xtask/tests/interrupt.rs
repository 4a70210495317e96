//! However `cargo xtask run` ends, it leaves no QEMU behind and gives the right status.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// `cargo xtask run` with a guest that never ends: its processors are stopped (`-S`).
struct Run {
    program: Child,
    qemu: u32,
    _images: tempfile::TempDir,
}

impl Run {
    fn start(arguments: &[&str]) -> Self {
        use std::os::unix::process::CommandExt;
        let images = tempfile::tempdir().unwrap();
        fs::write(images.path().join("vortex.img"), [0; 512]).unwrap();
        let program = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args([
                "run",
                "--headless",
                "--accel",
                "tcg",
                "--qemu-arg=-S",
                "--image-dir",
            ])
            .arg(images.path())
            .args(arguments)
            .process_group(0)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + DEADLINE;
        let qemu = loop {
            if let Some(qemu) = child_of(program.id()).filter(|child| is_qemu(*child)) {
                break qemu;
            }
            assert!(Instant::now() < deadline, "xtask does not start QEMU");
            std::thread::sleep(POLL);
        };
        Self {
            program,
            qemu,
            _images: images,
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.program)
    }

    /// Waits for the end, and checks that QEMU is gone by then, or at least very soon.
    fn end(mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.program.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "xtask does not end");
            std::thread::sleep(POLL);
        };
        while is_running(self.qemu) {
            assert!(
                Instant::now() < deadline,
                "QEMU {} is left behind",
                self.qemu
            );
            std::thread::sleep(POLL);
        }
        status
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // For a test that failed; otherwise it has ended already.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// The state and the parent in `/proc/ID/stat`, whose second field, in brackets, may hold anything.
fn state_and_parent(process: &Path) -> Option<(String, u32)> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn child_of(parent: u32) -> Option<u32> {
    let mut processes = fs::read_dir("/proc").unwrap().flatten();
    let child = processes
        .find(|process| state_and_parent(&process.path()).is_some_and(|(_, p)| p == parent))?;
    child.file_name().to_string_lossy().parse().ok()
}

/// `setpriv` becomes QEMU; before that it is not what this is about.
fn is_qemu(id: u32) -> bool {
    let program = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    program.starts_with("qemu-system")
}

/// A zombie has ended; only its parent has not looked yet.
fn is_running(id: u32) -> bool {
    state_and_parent(Path::new(&format!("/proc/{id}"))).is_some_and(|(state, _)| state != "Z")
}

/// Whether QEMU is there to try this with.
fn qemu_is_there() -> bool {
    let there = xtask::process::find_program("qemu-system-x86_64").is_some();
    there && xtask::firmware::find().is_some()
}

#[test]
fn ctrl_c() {
    if qemu_is_there() {
        let run = Run::start(&[]);
        // As a terminal does it: to the whole group.
        kill_process_group(run.pid(), Signal::INT).unwrap();
        assert_eq!(run.end().code(), Some(130));
    }
}

#[test]
fn interrupt_of_the_program_alone() {
    if qemu_is_there() {
        let run = Run::start(&[]);
        kill_process(run.pid(), Signal::INT).unwrap();
        assert_eq!(run.end().code(), Some(130));
    }
}

#[test]
fn termination() {
    if qemu_is_there() {
        let run = Run::start(&[]);
        kill_process(run.pid(), Signal::TERM).unwrap();
        assert_eq!(run.end().code(), Some(143));
    }
}

#[test]
fn kill() {
    if qemu_is_there() {
        let run = Run::start(&[]);
        kill_process(run.pid(), Signal::KILL).unwrap();
        assert_eq!(run.end().code(), None);
    }
}

#[test]
fn timeout() {
    if qemu_is_there() {
        assert_eq!(Run::start(&["--timeout", "1"]).end().code(), Some(124));
    }
}

#[test]
fn a_killed_guest_is_a_failure() {
    if qemu_is_there() {
        let run = Run::start(&[]);
        let qemu = Pid::from_raw(run.qemu.try_into().unwrap()).unwrap();
        kill_process(qemu, Signal::KILL).unwrap();
        assert_eq!(run.end().code(), Some(1));
    }
}
