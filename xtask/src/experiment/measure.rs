//! A guest that runs an experiment, and the samples that it sends.
//!
//! Key types: [`Root`] (a disk with the root file system, for experiments with files).

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::accel::{self, Accel};
use xtask::disks::{self, Backing, Controller, Disk};
use xtask::network::Link;
use xtask::packages::{self, Package};
use xtask::process::Running;
use xtask::program::{self, Ended, Lines, Program};
use xtask::qemu::{Guest, Next};
use xtask::samples::{Entitled, Sample};
use xtask::userland::{self, GuestFile};
use xtask::{rootfs, ui, workspace};

use super::Common;

/// How long the guest may take beyond what it measures, which takes an emulated one longer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of a disk for what is not the experiment's files.
const ROOM_FOR_REST: u64 = 16 << 20;
/// How long the guest's servers may take to be there.
const SERVER_PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked whether a client has ended.
const LOOK: Duration = Duration::from_millis(50);
/// How long one answer is waited for, in seconds.
const ANSWER: &str = "5";
/// How many of its last lines a failure shows.
const SHOWN: usize = 20;

/// The root file system of an experiment, on a disk of its own that is gone afterwards.
pub(super) struct Root(tempfile::TempDir);

impl Root {
    /// With the project's programs, the configuration, these files, and so much room for more.
    pub(super) fn new(configuration: &str, files: Vec<GuestFile>, room: u64) -> Result<Self> {
        packages::require(&[Package::Ext2Tools])?;
        let folder = tempfile::tempdir_in(workspace::target_subdir("experiment")?)?;
        let root = Self(folder);
        let spare = room + room / 64 + ROOM_FOR_REST;
        let files = [userland::build()?, files].concat();
        rootfs::with_programs(&files, configuration, spare, &root.image())?;
        Ok(root)
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("rootfs.img")
    }

    /// The disk, as fast as the host is.
    pub(super) fn disk(&self) -> Disk {
        Disk::new(self.image())
    }
}

/// QEMU's arguments for an experiment's disk: what it does is not to keep packets waiting at QEMU that are
/// not at the guest yet, or have left it, since those are nobody's in the guest.
pub(super) fn disk_arguments(controller: Controller, disk: Disk) -> Vec<OsString> {
    disks::arguments(controller, Backing::Scratch, &[disk])
}

/// What is in a file that `readfiles` reads: each aligned word of eight bytes is its own offset.
pub(super) fn pattern(bytes: u32) -> Vec<u8> {
    let words = (0..u64::from(bytes)).step_by(8);
    let mut pattern: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    pattern.truncate(bytes as usize);
    pattern
}

/// How the instructions of an experiment run that is CPU-bound: a single processor that is emulated
/// has them for its clock, so that its figures are the same on a busy host.
pub(super) fn accel(smp: u32) -> Result<Accel> {
    match accel::detect()? {
        Accel::Tcg if smp == 1 => Ok(Accel::Counted { shift: 3 }),
        other => Ok(other),
    }
}

/// The same where packets come from outside, at so many a second of the host's clock: as slow as the host
/// executes what boots, so that the guest has nothing to catch up on.
pub(super) fn accel_with_network(smp: u32) -> Result<Accel> {
    match accel::detect()? {
        Accel::Tcg if smp == 1 => Ok(Accel::Paced { shift: 3 }),
        other => Ok(other),
    }
}

/// Boots the kernel with the experiment's processes, which go on for ever, and takes in the samples;
/// before the first, the guest may take `prepare` seconds.
pub(super) fn run(program: &Program, common: &Common, prepare: u32) -> Result<Vec<Sample>> {
    let mut guest = program::start(program)?;
    collect(&mut guest, common.seconds, prepare, |ended| {
        ended.status == 0
    })
}

/// Takes in the samples of `seconds` seconds, the first of which is taken `settle` seconds after the
/// start, while the guest goes on. Fails if a process ends that may not end like that.
pub(super) fn collect(
    guest: &mut Guest,
    seconds: u32,
    settle: u32,
    may_end: impl Fn(&Ended) -> bool,
) -> Result<Vec<Sample>> {
    collect_watching(guest, seconds, settle, may_end, |_| Ok(()))
}

/// The same; `watch` is told each line that the guest's programs write, when it comes.
pub(super) fn collect_watching(
    guest: &mut Guest,
    seconds: u32,
    settle: u32,
    may_end: impl Fn(&Ended) -> bool,
    watch: impl FnMut(&str) -> Result<()>,
) -> Result<Vec<Sample>> {
    let limit = Duration::from_secs(u64::from(seconds + settle)) * 2 + PATIENCE;
    let spinner = ui::Spinner::start(&format!("measuring {seconds} s"));
    let is_enough = |samples: &[Sample]| Ok(samples.len() > seconds as usize);
    take_in(guest, limit, &spinner, is_enough, may_end, watch)
}

/// Takes in samples, which the guest writes when they are taken, until a client has ended; those that come
/// in the first `settle` seconds, or were waiting, do not count. No process may end meanwhile.
pub(super) fn collect_beside(
    guest: &mut Guest,
    client: &mut Running,
    settle: u32,
    seconds: u32,
    label: &str,
) -> Result<Vec<Sample>> {
    let limit = Duration::from_secs((settle + seconds).into()) * 2 + PATIENCE;
    let spinner = ui::Spinner::start(&format!("measuring {seconds} s, {label}"));
    let counted = Instant::now() + Duration::from_secs(settle.into());
    let mut early = 0;
    let is_over = |samples: &[Sample]| {
        if Instant::now() < counted {
            early = samples.len();
        }
        Ok(client.wait_until(Instant::now())?.is_some())
    };
    let mut samples = take_in(guest, limit, &spinner, is_over, |_| false, |_| Ok(()))?;
    samples.drain(..early);
    Ok(samples)
}

/// Takes in samples until there are enough of them.
fn take_in(
    guest: &mut Guest,
    limit: Duration,
    spinner: &ui::Spinner,
    mut is_enough: impl FnMut(&[Sample]) -> Result<bool>,
    may_end: impl Fn(&Ended) -> bool,
    mut watch: impl FnMut(&str) -> Result<()>,
) -> Result<Vec<Sample>> {
    let deadline = Instant::now() + limit;
    let (mut samples, mut lines) = (Vec::new(), Lines::default());
    let mut words = LastWords::default();
    while !is_enough(&samples)? {
        // What else it waits for is looked at again, too, however long the guest says nothing.
        match guest.next(deadline.min(Instant::now() + LOOK)) {
            Next::Output(bytes) => {
                for line in lines.push(&bytes) {
                    match Sample::parse(&line) {
                        Some(Ok(sample)) => samples.push(sample),
                        Some(Err(error)) => {
                            words.hear_out(guest, spinner);
                            return Err(error.context(words.to_string()));
                        }
                        None => {
                            watch(&line)?;
                            words.hear(line, &may_end, spinner)?;
                        }
                    }
                }
            }
            Next::Line(line) => words.hear(line.text, &may_end, spinner)?,
            Next::Over => bail!("the guest ended after {} samples; {words}", samples.len()),
            Next::Deadline if Instant::now() < deadline => {}
            Next::Deadline => bail!("only {} samples within {limit:?}; {words}", samples.len()),
        }
    }
    Ok(samples)
}

/// The last lines that a guest wrote, for when it fails.
#[derive(Default)]
struct LastWords(VecDeque<String>);

impl LastWords {
    fn add(&mut self, line: String, spinner: &ui::Spinner) {
        spinner.detail(&line);
        if self.0.len() == SHOWN {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }
}

impl LastWords {
    /// Takes in a line; fails if it says that a process has ended that may not end like that.
    fn hear(
        &mut self,
        line: String,
        may_end: impl Fn(&Ended) -> bool,
        spinner: &ui::Spinner,
    ) -> Result<()> {
        let failed = Ended::parse(&line).is_some_and(|ended| !may_end(&ended));
        self.add(line, spinner);
        if failed {
            bail!("a process of the experiment failed; {self}");
        }
        Ok(())
    }

    /// Takes in what the kernel says in the next moment: why a program's words were cut short.
    fn hear_out(&mut self, guest: &mut Guest, spinner: &ui::Spinner) {
        let deadline = Instant::now() + Duration::from_secs(1);
        loop {
            match guest.next(deadline) {
                Next::Line(line) => self.add(line.text, spinner),
                Next::Output(_) => {}
                Next::Over | Next::Deadline => return,
            }
        }
    }
}

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its last words:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// A program of the project's, as it is here.
pub(super) fn program_here(name: &str) -> Result<PathBuf> {
    let path = format!("/bin/{name}");
    let mut programs = userland::build()?.into_iter();
    let found = programs.find(|file| file.path == path);
    let found = found.with_context(|| format!("there is no program {path}"))?;
    Ok(found.file)
}

/// Waits until a page comes from the guest.
pub(crate) fn wait_for(
    link: &Link,
    guest: &mut Guest,
    url: &str,
    spinner: &ui::Spinner,
) -> Result<()> {
    let deadline = Instant::now() + SERVER_PATIENCE;
    let mut log = Vec::new();
    loop {
        let mut curl = link.clients().command("curl");
        curl.args([
            "--silent",
            "--fail",
            "--max-time",
            ANSWER,
            "--output",
            "/dev/null",
            url,
        ]);
        if curl.status()?.success() {
            return Ok(());
        }
        // What the guest says meanwhile is the best there is to tell why.
        while let Next::Line(line) = guest.next(Instant::now()) {
            spinner.detail(&line.text);
            log.push(line.text);
        }
        if Instant::now() > deadline {
            let last = log[log.len().saturating_sub(SHOWN)..].join("\n");
            bail!(
                "{url} does not answer within {SERVER_PATIENCE:?}; the guest's last words:\n{last}"
            );
        }
    }
}

/// What each process is entitled to.
pub(super) fn entitlements(activities: &[(String, u32)]) -> Vec<Entitled> {
    let all: u32 = activities.iter().map(|(_, share)| share).sum();
    let entitled = |(activity, share): &(String, u32)| Entitled {
        activity: activity.clone(),
        share: f64::from(*share) / f64::from(all),
    };
    activities.iter().map(entitled).collect()
}
