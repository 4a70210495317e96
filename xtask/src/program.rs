//! Programs in a guest: what is started, and how it ends.
//!
//! Key types: [`Program`] (what to start, on what machine). [`start`] boots the kernel with it;
//! [`watch`] hands on what comes out, and knows the programs' status when the guest has ended.
//!
//! The kernel says how each process ends with a line in its log ([`Ended`]), since the device by
//! which a guest ends QEMU has room for statuses below 128 only.

mod check;
mod configuration;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::accel::{self, Accel};
use crate::boot_image::{BootImage, Parts};
use crate::qemu::{self, Boot, Exit, Guest, GuestConfig, Machine, Next};
use crate::userland::{self, GuestFile};
use crate::{libraries, ramdisk, rootfs};

pub use configuration::with_process;

/// The memory of a guest before its ramdisk, in MiB.
const MEMORY_MIB: u64 = 512;
/// How long QEMU may take to end after its log has.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// What to start.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program's absolute path in the guest; empty to start what the configuration says.
    pub path: String,
    /// Its arguments, after its own name.
    pub arguments: Vec<String>,
    /// Its environment: names and values.
    pub environment: Vec<(String, String)>,
    /// A folder that is laid over the root file system; libraries that its programs want and it lacks
    /// are this machine's.
    pub rootfs: Option<PathBuf>,
    /// Files for the root file system besides the project's own programs; the folder comes later.
    pub files: Vec<GuestFile>,
    /// The scheduler configuration, as XML; the built-in one if it is empty. With a path, the
    /// processes in it are replaced by that one.
    pub configuration: String,
    /// Boot options for the kernel.
    pub options: Vec<String>,
    /// The number of processors.
    pub smp: u32,
    /// The amount of memory, as QEMU reads it; enough for the ramdisk if it is empty.
    pub memory: String,
    /// How instructions run; found out if `None`.
    pub accel: Option<Accel>,
    /// The mainboard.
    pub machine: Machine,
    /// The processor model; the most capable one when `None`.
    pub cpu: Option<String>,
    /// More QEMU arguments.
    pub extra: Vec<OsString>,
    /// What QEMU is started by; see [`GuestConfig::launcher`].
    pub launcher: Vec<OsString>,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            path: String::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            rootfs: None,
            files: Vec::new(),
            configuration: String::new(),
            options: Vec::new(),
            smp: 1,
            memory: String::new(),
            accel: None,
            machine: Machine::Q35,
            cpu: None,
            extra: Vec::new(),
            launcher: Vec::new(),
        }
    }
}

/// Boots a guest with a program. What its processes write comes as [`Next::Output`], the kernel's
/// log as [`Next::Line`].
///
/// # Errors
/// When the program is not there or cannot be started, or there is something missing to do so.
pub fn start(program: &Program) -> Result<Guest> {
    let mut files = userland::build()?;
    files.extend_from_slice(&program.files);
    if let Some(folder) = program.rootfs.as_deref().filter(|folder| folder.is_dir()) {
        files.extend(libraries::of_folder(folder)?);
    }
    let rootfs = rootfs::archive(&files, program.rootfs.as_deref())?;
    let mut configuration = program.configuration.clone().into_bytes();
    if !program.path.is_empty() {
        check::program(&program.path, &rootfs, &files, program.rootfs.as_deref())?;
        configuration = with_process(program)?.into_bytes();
    } else if configuration.is_empty() {
        bail!("nothing to start: no program is named, and no configuration that names some");
    }
    let ramdisk = ramdisk::assemble(Some(&configuration), &program.options, Some(&rootfs))?;
    drop(rootfs);
    let mut config = GuestConfig::new(
        boot(&ramdisk)?,
        program.accel.map_or_else(accel::detect, Ok)?,
    );
    config.smp = program.smp;
    config.memory = match program.memory.as_str() {
        "" => memory_for(&ramdisk),
        memory => memory.to_owned(),
    };
    config.machine = program.machine;
    config.cpu.clone_from(&program.cpu);
    config.console = true;
    config.extra.clone_from(&program.extra);
    config.launcher.clone_from(&program.launcher);
    Guest::start(&config)
}

/// A disk with a ramdisk.
fn boot(ramdisk: &[u8]) -> Result<Boot> {
    let image = BootImage::with_ramdisk("run", ramdisk)?;
    image.make_boot(&Parts::build()?, Some(ramdisk))?;
    Ok(Boot::Disk(image.disk()))
}

/// Memory for a guest with a ramdisk: its files are in memory twice when all of them are mapped.
#[must_use]
pub fn memory_for(ramdisk: &[u8]) -> String {
    let mib = (ramdisk.len() as u64).div_ceil(1 << 20);
    format!("{}M", MEMORY_MIB + 2 * mib.next_multiple_of(64) - 64)
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its program's path.
    pub path: String,
    /// Its status, as a shell has it: 128 and the signal's number if it was killed.
    pub status: u8,
}

impl Ended {
    /// Reads the kernel's line about the first process: `vortex: process PATH exited with status N`,
    /// or `killed by signal N`; or the spawner's about one of its processes that has failed:
    /// `spawner: NAME (PATH) exited with status N`, or `killed by signal N`.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (before, number) = line.rsplit_once(' ')?;
        let number: u8 = number.parse().ok()?;
        let (who, status) = if let Some(who) = before.strip_suffix(" exited with status") {
            (who, number)
        } else {
            (
                before.strip_suffix(" killed by signal")?,
                128_u8.checked_add(number)?,
            )
        };
        let path = match who.strip_prefix("vortex: process ") {
            Some(path) => path,
            None => {
                let (_, path) = who.strip_prefix("spawner: ")?.rsplit_once(" (")?;
                path.strip_suffix(')')?
            }
        };
        Some(Self {
            path: path.to_owned(),
            status,
        })
    }
}

/// The statuses of the processes that have ended so far, as one.
#[derive(Clone, Debug, Default)]
pub struct Statuses {
    /// The first that is not 0, or 0; `None` before any process has ended.
    first: Option<u8>,
}

impl Statuses {
    /// Looks at a line of the log; whether it was about a process.
    pub fn read(&mut self, line: &str) -> bool {
        let Some(ended) = Ended::parse(line) else {
            return false;
        };
        if matches!(self.first, None | Some(0)) {
            self.first = Some(ended.status);
        }
        true
    }

    /// The status of the processes, if they ended and the guest itself did not fail.
    #[must_use]
    pub fn of_processes(&self, exit: &Exit) -> Option<u8> {
        // The guest may give what it can of the same status.
        let same = |status: &u8| exit.code() == 0 || exit.code() == status & 0x7f;
        self.first.filter(same)
    }

    /// The status of it all: that of the processes, unless the guest itself failed.
    #[must_use]
    pub fn with(&self, exit: &Exit) -> u8 {
        self.of_processes(exit).unwrap_or(exit.code())
    }
}

/// What processes write, line by line.
#[derive(Debug, Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// Takes in what was written, and gives out the lines that are complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.0.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]);
            lines.push(line.trim_end_matches('\r').to_owned());
        }
        lines
    }

    /// The last line, if it has no end.
    #[must_use]
    pub fn rest(self) -> Option<String> {
        (!self.0.is_empty()).then(|| String::from_utf8_lossy(&self.0).into_owned())
    }
}

/// Hands each line that the guest's processes write to `sink`, up to the guest's end; each line of
/// the log, where the guest has no console of its own. Returns the processes' status.
///
/// # Errors
/// When the guest does not end within `limit`, or `sink` fails.
pub fn watch(
    guest: &mut Guest,
    limit: Duration,
    mut sink: impl FnMut(&str) -> Result<()>,
) -> Result<u8> {
    let deadline = guest.started() + limit;
    let mut statuses = Statuses::default();
    let mut lines = Lines::default();
    loop {
        match guest.next(deadline) {
            Next::Line(line) => {
                statuses.read(&line.text);
                if !guest.has_console() {
                    sink(&line.text)?;
                }
            }
            Next::Output(bytes) => lines.push(&bytes).iter().try_for_each(|line| sink(line))?,
            Next::Over => break,
            Next::Deadline => bail!("the guest did not end within {} s", limit.as_secs()),
        }
    }
    if let Some(rest) = lines.rest() {
        sink(&rest)?;
    }
    let exit = guest.exit(qemu::within(LAST_WAIT).max(Instant::now()))?;
    Ok(statuses.with(&exit.context("QEMU closed its log and does not end")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_processes_are_read_from_the_log() {
        let ended = |path: &str, status| {
            Some(Ended {
                path: path.into(),
                status,
            })
        };
        let parse = Ended::parse;
        assert_eq!(
            parse("vortex: process /bin/a exited with status 0"),
            ended("/bin/a", 0)
        );
        assert_eq!(
            parse("vortex: process /a b exited with status 255"),
            ended("/a b", 255)
        );
        assert_eq!(
            parse("vortex: process /bin/a killed by signal 11"),
            ended("/bin/a", 139)
        );
        assert_eq!(
            parse("spawner: one (/bin/a) killed by signal 9"),
            ended("/bin/a", 137)
        );
        assert_eq!(
            parse("spawner: one (two) (/bin/a) exited with status 3"),
            ended("/bin/a", 3)
        );
        for other in [
            "spawner: one exited with status 3",
            "process /bin/a exited with status 0",
            "vortex: process /bin/a exited with status 256",
            "vortex: process /bin/a killed by signal 200",
            "vortex: 4 cores up",
            "vortex: process ",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_status_is_the_programs_unless_the_kernel_failed() {
        let mut statuses = Statuses::default();
        assert_eq!(statuses.with(&Exit::PowerOff), 0);
        assert_eq!(statuses.with(&Exit::Status(101)), 101);
        statuses.read("vortex: process /bin/a exited with status 0");
        assert_eq!(statuses.with(&Exit::Status(101)), 101);
        statuses.read("vortex: process /bin/b killed by signal 6");
        statuses.read("vortex: process /bin/c exited with status 3");
        assert_eq!(statuses.with(&Exit::PowerOff), 134);
        assert_eq!(statuses.with(&Exit::Status(6)), 134);
        assert_eq!(statuses.with(&Exit::Status(101)), 101);
        assert_eq!(statuses.with(&Exit::Reset), 1);
    }

    #[test]
    fn the_ramdisk_fits_into_memory() {
        assert_eq!(memory_for(&[0; 512]), "576M");
        assert_eq!(memory_for(&vec![0; 100 << 20]), "704M");
    }
}
