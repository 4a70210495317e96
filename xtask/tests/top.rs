//! `cargo xtask top` as its users have it: its output, its errors, and the terminal after it.
#![cfg(target_os = "linux")]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vortex_statsd::control::{self, Failure};
use vortex_statsd::server::{Server, Source};
use vortex_statsd::{Account, Activity, Core, Statistics};

const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
/// What gives the terminal back: the screen that was there before, and the cursor.
const RESTORED: [&str; 2] = ["\x1b[?1049l", "\x1b[?25h"];

/// A core that has worked since the start for one activity.
#[derive(Clone)]
struct Machine {
    start: Instant,
    can_be_read: Arc<AtomicBool>,
}

impl Source for Machine {
    fn statistics(&mut self) -> io::Result<Statistics> {
        if !self.can_be_read.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let since_boot = self.start.elapsed().as_nanos();
        let since_boot_ns = u64::try_from(since_boot).unwrap();
        Ok(Statistics {
            taken_at: since_boot_ns,
            hertz: 1_000_000_000,
            since_boot_ns,
            cores: vec![Core {
                core: 0,
                elapsed: since_boot_ns,
                attributed: since_boot_ns,
                scheduling: 0,
                interrupt: 0,
                idle: 0,
                unaccounted: 0,
            }],
            activities: vec![Activity {
                activity: 1,
                name: "the-only-one".into(),
                weight: 100_000,
                suspended: false,
            }],
            accounts: vec![Account {
                core: 0,
                resource: "resource.thread".into(),
                activity: "the-only-one".into(),
                cycles: since_boot_ns,
                requests: since_boot_ns / 1_000_000,
                bytes: 0,
                memory: 0,
                returned: 0,
                queue_length: 0,
                waiting: Vec::new(),
                service: Vec::new(),
            }],
            memory: Vec::new(),
            processes: Vec::new(),
            counters: Vec::new(),
        })
    }

    fn perform(&mut self, _: &control::Command) -> Result<u64, Failure> {
        Err(Failure::Forbidden("it is only looked at".into()))
    }
}

/// A server that ends with the test's process, and whether it can read its statistics.
fn serve() -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let can_be_read = Arc::new(AtomicBool::new(true));
    let machine = Machine {
        start: Instant::now(),
        can_be_read: can_be_read.clone(),
    };
    thread::spawn(move || Server::new(listener, machine, None).run());
    (address, can_be_read)
}

fn top(arguments: &[&str]) -> (ExitStatus, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("top")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status, text(output.stdout), text(output.stderr))
}

/// Where nobody looks, the figures of a second are printed, and that is all.
#[test]
fn one_second_is_printed_for_scripts() {
    let (address, _) = serve();
    for once in [&["--once"][..], &[]] {
        let (status, out, error) = top(&[&[&*address.to_string()], once].concat());
        assert!(status.success(), "{error}");
        let row = |name: &str| -> Vec<String> {
            let line = out.lines().find(|line| line.trim_start().starts_with(name));
            let line = line.unwrap_or_else(|| panic!("{name}: {out}"));
            line.split("  ")
                .map(|cell| cell.trim().to_owned())
                .filter(|cell| !cell.is_empty())
                .collect()
        };
        assert_eq!(
            row("the-only-one")[..5],
            ["the-only-one", "100.0 %", "100.0 %", "100.0 %", "100"]
        );
        assert_eq!(row("thread")[..2], ["thread", "100.0 %"]);
        assert_eq!(row("0 ")[..2], ["0", "100.0 %"]);
        assert!(!out.contains('\x1b'), "{out:?}");
    }
}

#[test]
fn errors_say_what_to_do() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (status, out, error) = top(&[&nobody]);
    assert_eq!((status.code(), &*out), (Some(1), ""), "{error}");
    assert!(
        error.contains("nobody answers") && error.contains("`cargo xtask run`"),
        "{error}"
    );
    let (address, can_be_read) = serve();
    can_be_read.store(false, Ordering::Relaxed);
    let (status, _, error) = top(&[&address.to_string()]);
    assert_eq!(status.code(), Some(1), "{error}");
    assert!(error.contains("<right>statistics</right>"), "{error}");
    let (status, _, error) = top(&["blade7"]);
    assert_eq!(status.code(), Some(2), "{error}");
    assert!(error.contains("HOST:PORT"), "{error}");
}

/// `top` in a terminal that util-linux's `script` makes.
struct Live {
    script: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: String,
    _folder: tempfile::TempDir,
    pid_file: std::path::PathBuf,
}

impl Live {
    /// None where there is no `script`.
    fn start(address: SocketAddr) -> Option<Self> {
        if xtask::process::find_program("script").is_none() {
            eprintln!("there is no `script` (util-linux): not tried in a terminal");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let command = format!(
            "stty cols 100 rows 30; echo $$ > {}; exec {} top {address}",
            pid_file.display(),
            env!("CARGO_BIN_EXE_xtask"),
        );
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let keys = script.stdin.take().unwrap();
        let mut out = script.stdout.take().unwrap();
        let (sender, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Self {
            script,
            keys,
            screen,
            seen: String::new(),
            _folder: folder,
            pid_file,
        })
    }

    /// Waits until this has been written to the terminal.
    #[track_caller]
    fn shows(&mut self, words: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.seen.contains(words) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.screen.recv_timeout(left);
            let bytes = bytes.unwrap_or_else(|_| panic!("not {words}: {:?}", self.seen));
            self.seen += &String::from_utf8_lossy(&bytes);
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for the end: the status, with the terminal as it was.
    #[track_caller]
    fn end(mut self) -> ExitStatus {
        for words in RESTORED {
            self.shows(words);
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.script.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end: {:?}",
                self.seen
            );
            thread::sleep(POLL);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn keys_end_it_and_the_terminal_is_as_before() {
    let (address, can_be_read) = serve();
    for key in ["q", "\x1b", "\x03"] {
        let Some(mut live) = Live::start(address) else {
            return;
        };
        live.shows("the-only-one");
        if key == "q" {
            can_be_read.store(false, Ordering::Relaxed);
            live.shows("it has no statistics to show");
            can_be_read.store(true, Ordering::Relaxed);
            live.shows("cores: 1,");
            live.press("\t?");
            live.shows("Help:");
            live.press("?");
        }
        live.press(key);
        let status = live.end();
        assert!(status.success(), "{key:?}: {status}");
    }
}

#[test]
fn a_signal_ends_it_and_the_terminal_is_as_before() {
    let (address, _) = serve();
    let Some(mut live) = Live::start(address) else {
        return;
    };
    live.shows("the-only-one");
    let pid = std::fs::read_to_string(&live.pid_file).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(live.end().code(), Some(143));
}
