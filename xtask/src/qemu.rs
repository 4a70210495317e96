//! One QEMU machine: what it is made of, its log while it runs, and how it ended.
//!
//! [`GuestConfig`] says what to start, [`Guest`] is the running machine, [`Exit`] how it ended.
//! The guest's first serial port and QEMU's own messages share one pipe, so that they come in the
//! order in which they were written; QEMU's machine protocol (QMP) has standard input and output,
//! and is used only to learn *why* a guest ended: a reset and a power-off have one exit status.
//!
//! Invariant: QEMU does not outlive its [`Guest`], nor this process (see [`crate::process`]).

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::accel::Accel;
use crate::console::Console;
pub use crate::console::Typist;
use crate::firmware;
use crate::process::{self, Running};

/// What the guest boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// A UEFI disk.
    Disk(PathBuf),
    /// The file `bootloader` in a TFTP folder, by QEMU's own DHCP and TFTP servers.
    Pxe(PathBuf),
    /// A Linux kernel, without firmware of ours, with an initial RAM file system and a command line.
    Linux(PathBuf, PathBuf, String),
    /// Nothing: the firmware alone.
    Nothing,
}

/// The kind of mainboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Machine {
    /// PCI Express, with its configuration space in memory
    Q35,
    /// The older one: PCI only
    Pc,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct GuestConfig {
    /// What it boots.
    pub boot: Boot,
    /// The number of processors.
    pub smp: u32,
    /// The amount of memory, as QEMU reads it: `512M`, `8G`.
    pub memory: String,
    /// The mainboard.
    pub machine: Machine,
    /// The processor model; the most capable one when `None`.
    pub cpu: Option<String>,
    /// How its instructions run.
    pub accel: Accel,
    /// Whether it has a window.
    pub window: bool,
    /// Whether it has the device by which the kernel ends QEMU with a status.
    pub debug_exit: bool,
    /// Whether it has a second serial port, what is written to which is [`Next::Output`].
    pub console: bool,
    /// More QEMU arguments; they come last.
    pub extra: Vec<OsString>,
    /// What QEMU is started by, such as in a namespace of the network; by nothing if it is empty.
    pub launcher: Vec<OsString>,
}

impl GuestConfig {
    /// A guest with one processor, 512 MiB, a q35 mainboard and no window.
    #[must_use]
    pub fn new(boot: Boot, accel: Accel) -> Self {
        Self {
            boot,
            smp: 1,
            memory: "512M".into(),
            machine: Machine::Q35,
            cpu: None,
            accel,
            window: false,
            debug_exit: true,
            console: false,
            extra: Vec::new(),
            launcher: Vec::new(),
        }
    }

    /// The command line.
    fn command(&self, console: Option<&Console>) -> Result<Command> {
        let mut qemu = match self.launcher.split_first() {
            None => process::command("qemu-system-x86_64"),
            Some((launcher, arguments)) => {
                let mut command = Command::new(launcher);
                command.args(arguments).arg("qemu-system-x86_64");
                command
            }
        };
        let machine = match self.machine {
            Machine::Q35 => "q35",
            Machine::Pc => "pc",
        };
        qemu.args(["-machine", machine, "-accel", self.accel.argument()]);
        if let Some(counting) = self.accel.counting() {
            qemu.args(["-icount", &counting]);
        }
        qemu.args([
            "-cpu",
            self.cpu.as_deref().unwrap_or(self.accel.default_cpu()),
        ]);
        let processors = self.accel.processors(self.smp);
        qemu.args(["-smp", &processors, "-m", &self.memory]);
        self.boot.add_to(&mut qemu)?;
        qemu.args([
            "-chardev",
            "file,id=log,path=/dev/stderr",
            "-serial",
            "chardev:log",
        ]);
        if let Some(console) = console {
            console.add_to(&mut qemu);
        }
        qemu.args([
            "-chardev",
            "stdio,id=qmp,signal=off",
            "-mon",
            "chardev=qmp,mode=control",
        ]);
        qemu.arg("-no-reboot");
        if self.debug_exit {
            qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
        }
        if !self.window {
            qemu.args(["-display", "none"]);
        }
        qemu.args(&self.extra);
        qemu.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(qemu)
    }
}

impl Boot {
    /// Has QEMU boot this.
    fn add_to(&self, qemu: &mut Command) -> Result<()> {
        if !matches!(self, Boot::Linux(..)) {
            firmware::find()
                .context("there is no UEFI firmware; try `cargo xtask setup`")?
                .add_to(qemu);
        }
        match self {
            Boot::Linux(kernel, initramfs, arguments) => {
                qemu.arg("-kernel")
                    .arg(kernel)
                    .arg("-initrd")
                    .arg(initramfs);
                qemu.args(["-append", arguments, "-nic", "none"]);
            }
            Boot::Disk(disk) => {
                // Guests may share the file: what one writes goes to a file of its own, and away.
                let disk = escape_commas(disk);
                qemu.arg("-drive")
                    .arg(format!("format=raw,snapshot=on,file={disk}"));
                qemu.args(["-nic", "none"]);
            }
            Boot::Nothing => {
                qemu.args(["-nic", "none"]);
            }
            Boot::Pxe(folder) => {
                let folder = escape_commas(folder);
                qemu.arg("-netdev")
                    .arg(format!("user,id=boot,tftp={folder},bootfile=bootloader"));
                // No option ROM: the firmware has a driver for this device.
                qemu.args(["-device", "virtio-net-pci,netdev=boot,romfile="]);
            }
        }
        Ok(())
    }
}

/// A file name inside a QEMU option, where a comma ends the value and two stand for one.
pub(crate) fn escape_commas(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It powered off: success.
    PowerOff,
    /// It gave a status through the exit device: failure, unless it is 0.
    Status(u8),
    /// It reset itself, on purpose or by a triple fault.
    Reset,
    /// QEMU ended for a reason outside the guest, which is told.
    Qemu(String),
}

impl Exit {
    /// The status that the kernel writes to the exit device when it cannot power off: QEMU cannot
    /// exit with 0 by that device.
    const SUCCESS: i32 = 0x40;

    fn new(status: ExitStatus, reason: Option<&str>) -> Self {
        let Some(code) = status.code() else {
            return Self::Qemu(format!("QEMU ended by {status}"));
        };
        match (code, reason) {
            (0, Some("guest-shutdown")) => Self::PowerOff,
            (0, Some("guest-reset")) => Self::Reset,
            (0, reason) => Self::Qemu(format!("QEMU ended ({})", reason.unwrap_or("no reason"))),
            // The exit device makes QEMU exit with 2 * status + 1; so 1 is QEMU's own failure.
            (code, _) if code > 1 && code % 2 == 1 => match code >> 1 {
                Self::SUCCESS => Self::Status(0),
                status => Self::Status(u8::try_from(status).unwrap_or(u8::MAX)),
            },
            (code, _) => Self::Qemu(format!("QEMU failed with status {code}")),
        }
    }

    /// What a shell gets to see: 0 for success.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::PowerOff => 0,
            Self::Status(status) => *status,
            Self::Reset | Self::Qemu(_) => 1,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("the guest powered off"),
            Self::Status(0) => f.write_str("the guest ended well (it has no way to power off)"),
            Self::Status(status) => write!(f, "the guest failed with status {status}"),
            Self::Reset => f.write_str("the guest reset itself (a reboot or a triple fault)"),
            Self::Qemu(what) => f.write_str(what),
        }
    }
}

/// A line of the log, and when it was complete.
#[derive(Clone, Debug)]
pub struct Line {
    /// When its end arrived here.
    pub at: Instant,
    /// Its text, without terminal control sequences.
    pub text: String,
}

/// What came next.
#[derive(Clone, Debug)]
pub enum Next {
    /// A line of the log.
    Line(Line),
    /// What processes wrote; only where there is a port for it ([`GuestConfig::console`]).
    Output(Vec<u8>),
    /// Nothing: QEMU has closed its log, and ends.
    Over,
    /// Nothing before the deadline.
    Deadline,
}

/// A running guest.
#[must_use = "the guest ends when this is dropped"]
pub struct Guest {
    qemu: Running,
    typist: Option<Typist>,
    started: Instant,
    events: Receiver<Next>,
    commands: Option<ChildStdin>,
    shutdown_reason: Option<JoinHandle<Option<String>>>,
}

impl Guest {
    /// Starts QEMU. The thread that calls this must outlive the returned value.
    ///
    /// # Errors
    /// When QEMU or its firmware is missing. What QEMU itself finds wrong is told by [`Exit`].
    pub fn start(config: &GuestConfig) -> Result<Self> {
        let started = Instant::now();
        let console = config.console.then(Console::new).transpose()?;
        let mut qemu = Running::start_with_input(&mut config.command(console.as_ref())?)?;
        let child = qemu.child();
        let (log, monitor) = (child.stderr.take(), child.stdout.take());
        let (sender, events) = channel();
        let release = console.as_ref().map(Console::release);
        let typist = console.as_ref().map(Console::typist);
        if let Some(console) = console {
            let sender = sender.clone();
            std::thread::spawn(move || {
                console.read(|bytes| sender.send(Next::Output(bytes)).is_ok())
            });
        }
        std::thread::spawn(move || {
            if let Some(log) = log {
                read_lines(log, &sender);
            }
            // QEMU has closed its log: it ends, or never ran.
            if let Some(release) = release {
                release();
            }
        });
        let mut commands = child.stdin.take();
        if let Some(input) = &mut commands {
            // If QEMU is gone already, its exit status and its log tell why.
            let _ = input.write_all(b"{\"execute\": \"qmp_capabilities\"}\n");
        }
        let shutdown_reason = monitor.map(|events| std::thread::spawn(|| read_reason(events)));
        Ok(Self {
            qemu,
            typist,
            started,
            events,
            commands,
            shutdown_reason,
        })
    }

    /// Gives QEMU a command in the words of its monitor protocol (QMP). What it answers is not
    /// looked at.
    ///
    /// # Errors
    /// When QEMU is gone.
    pub fn monitor(&mut self, command: &str) -> Result<()> {
        let input = self.commands.as_mut().context("QEMU takes no commands")?;
        writeln!(input, "{command}").context("cannot give QEMU a command")
    }

    /// QEMU's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.qemu.id()
    }

    /// Whether it has a port for what its processes write.
    #[must_use]
    pub fn has_console(&self) -> bool {
        self.typist.is_some()
    }

    /// Who types at that port.
    #[must_use]
    pub fn typist(&self) -> Option<Typist> {
        self.typist.clone()
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Waits for the next line of the log, or output.
    #[must_use]
    pub fn next(&mut self, deadline: Instant) -> Next {
        match self
            .events
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(next) => next,
            Err(RecvTimeoutError::Timeout) => Next::Deadline,
            Err(RecvTimeoutError::Disconnected) => Next::Over,
        }
    }

    /// Waits until QEMU has ended; `None` if it has not by the deadline.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn exit(&mut self, deadline: Instant) -> Result<Option<Exit>> {
        let Some(status) = self.qemu.wait_until(deadline)? else {
            return Ok(None);
        };
        let reason = self
            .shutdown_reason
            .take()
            .and_then(|reader| reader.join().ok())
            .flatten();
        Ok(Some(Exit::new(status, reason.as_deref())))
    }
}

/// Sends what `log` says, line by line, until it ends or nobody wants it any more.
fn read_lines(log: impl Read, events: &Sender<Next>) {
    for bytes in BufReader::new(log).split(b'\n') {
        let Ok(bytes) = bytes else { return };
        let text = plain(&String::from_utf8_lossy(&bytes));
        let at = Instant::now();
        if events.send(Next::Line(Line { at, text })).is_err() {
            return;
        }
    }
}

/// Reads QMP events until there are no more, and returns why the guest shut down.
fn read_reason(events: impl Read) -> Option<String> {
    let events = BufReader::new(events).lines().map_while(Result::ok);
    events.filter_map(|event| shutdown_reason(&event)).last()
}

/// The reason in a line like
/// `{"timestamp": …, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}`.
fn shutdown_reason(event: &str) -> Option<String> {
    if !event.contains(r#""event": "SHUTDOWN""#) {
        return None;
    }
    let (_, reason) = event.split_once(r#""reason": ""#)?;
    reason.split('"').next().map(str::to_owned)
}

/// The text without what steers a terminal: the firmware clears the screen and sets colours.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            // A control sequence: ESC [, parameters, one letter (ECMA-48, section 5.4).
            '\x1b' => {
                if rest.next() == Some('[') {
                    let _ = rest.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\t' => plain.push('\t'),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

/// A time from now, for [`Guest::next`] and [`Guest::exit`].
#[must_use]
pub fn within(time: Duration) -> Instant {
    Instant::now() + time
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn exit(code: i32, reason: Option<&str>) -> Exit {
        Exit::new(ExitStatus::from_raw(code << 8), reason)
    }

    #[test]
    fn exit_statuses_are_the_guests() {
        assert_eq!(exit(0, Some("guest-shutdown")), Exit::PowerOff);
        assert_eq!(exit(0, Some("guest-reset")), Exit::Reset);
        assert_eq!(exit(101 << 1 | 1, None), Exit::Status(101));
        assert_eq!(exit(127 << 1 | 1, None), Exit::Status(127));
        assert_eq!(exit(129, None), Exit::Status(0));
        assert!(matches!(exit(1, None), Exit::Qemu(_)));
        assert!(matches!(exit(2, None), Exit::Qemu(_)));
        assert!(matches!(exit(0, Some("host-signal")), Exit::Qemu(_)));
        assert!(matches!(
            Exit::new(ExitStatus::from_raw(9), None),
            Exit::Qemu(_)
        ));
    }

    #[test]
    fn only_success_is_zero_to_the_shell() {
        assert_eq!(exit(0, Some("guest-shutdown")).code(), 0);
        assert_eq!(exit(129, None).code(), 0);
        assert_eq!(exit(101 << 1 | 1, None).code(), 101);
        assert_ne!(exit(0, Some("guest-reset")).code(), 0);
        assert_ne!(exit(1, None).code(), 0);
        assert_ne!(exit(0, None).code(), 0);
    }

    #[test]
    fn reasons_are_read_from_events() {
        let events = "{\"QMP\": {}}\n{\"return\": {}}\n\
            {\"timestamp\": {\"seconds\": 1}, \"event\": \"SHUTDOWN\", \
            \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\n";
        assert_eq!(
            read_reason(events.as_bytes()).as_deref(),
            Some("guest-reset")
        );
        assert_eq!(read_reason("{\"event\": \"RESET\"}\n".as_bytes()), None);
    }

    #[test]
    fn terminal_control_is_taken_out() {
        assert_eq!(
            plain("\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: loading\r"),
            "BdsDxe: loading"
        );
        assert_eq!(plain("a\tb \u{e9}"), "a\tb \u{e9}");
        assert_eq!(plain("cut \x1b[0"), "cut ");
    }

    #[test]
    fn commas_in_names_are_doubled() {
        assert_eq!(escape_commas(Path::new("/a,b/c")), "/a,,b/c");
    }
}
