//! `cargo xtask run --shell`: BusyBox's shell in a guest, to type at.
//!
//! Key function: [`run`]. BusyBox is Debian's, as it is. The
//! root file system is a disk that is made for the session, with BusyBox's tools as symbolic links,
//! and gone with it.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write, stdin, stdout};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use xtask::disks::{self, Backing};
use xtask::linux::Unpacked;
use xtask::process;
use xtask::program::{self, Program};
use xtask::qemu::{self, Guest, Next, Typist};
use xtask::raw_mode::{self, RawMode};
use xtask::userland::{self, GuestFile};
use xtask::{libraries, rootfs, ui, workspace};

use super::exec::Log;
use super::{Args, TIMED_OUT};

/// The package with BusyBox, and where it is in it.
const PACKAGE: &str = "busybox-static";
const BUSYBOX: &str = "/bin/busybox";
/// Room on the disk for what is made in the session.
const ROOM: u64 = 128 << 20;
/// How often it is looked whether the session is to end.
const GLANCE: Duration = Duration::from_millis(100);
/// Columns and rows where there is no terminal here.
const SIZE: (u16, u16) = (80, 25);
/// What is typed at the end of what is not typed by hand: Ctrl-D, again and again. Who reads a line
/// meanwhile ends; and a line editor that begins later does not see one that came before.
const END: u8 = 4;
const AGAIN: Duration = Duration::from_secs(1);

/// Runs it until the shell ends, or Ctrl-A x.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let folder = tempfile::tempdir_in(workspace::target_subdir("run")?)?;
    let mut guest = program::start(&wanted(args, folder.path())?)?;
    let mut log = Log::new(args.verbose);
    let deadline = args
        .timeout
        .map(|seconds| guest.started() + Duration::from_secs(seconds));
    match converse(&mut guest, deadline, &mut log)? {
        How::Ended => {}
        How::Left => return Ok(ExitCode::SUCCESS),
        How::Late => {
            ui::error("the time is over");
            return Ok(TIMED_OUT.into());
        }
    }
    log.end(&mut guest, "the shell")
}

/// The guest: its disk is made in `folder`.
fn wanted(args: &Args, folder: &Path) -> Result<Program> {
    let busybox = Unpacked::fetch(&[PACKAGE])?.file(PACKAGE, BUSYBOX)?;
    let image = folder.join("root.img");
    make_disk(&busybox, args.rootfs.as_deref(), folder, &image)?;
    let mut disks = vec![disks::Disk::new(&image)];
    disks.extend(args.disks.iter().cloned());
    let (columns, rows) = raw_mode::size().unwrap_or(SIZE);
    let mut options = args.contents.options.clone();
    options.push(format!("terminal={columns}x{rows}"));
    let terminal = std::env::var("TERM").unwrap_or_else(|_| "vt100".into());
    let environment = [
        ("HOME", "/root"),
        ("PATH", "/bin"),
        ("TERM", &terminal),
        ("USER", "root"),
    ];
    let configuration = String::from_utf8(args.contents.configuration()?.unwrap_or_default());
    Ok(Program {
        path: BUSYBOX.into(),
        arguments: ["sh", "-i"].map(Into::into).into(),
        environment: environment
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        files: vec![busybox],
        configuration: configuration.context("the configuration is not UTF-8")?,
        options,
        smp: args.smp,
        memory: args.mem.clone().unwrap_or_default(),
        accel: args.accel.choose(),
        machine: args.machine,
        cpu: args.cpu.clone(),
        extra: extra(args, &disks)?,
        ..Program::default()
    })
}

/// QEMU arguments for these disks, and what else was asked for.
fn extra(args: &Args, disks: &[disks::Disk]) -> Result<Vec<OsString>> {
    let mut extra = disks::arguments(args.controller, Backing::Durable, disks);
    extra.extend(super::network(args)?);
    extra.extend(args.qemu_args.iter().cloned());
    Ok(extra)
}

/// Makes the disk: the project's programs, BusyBox with a link for each of its tools, and what is in
/// the folder `over`.
fn make_disk(busybox: &GuestFile, over: Option<&Path>, folder: &Path, image: &Path) -> Result<()> {
    let root = folder.join("root");
    for name in ["bin", "dev", "etc", "mnt", "proc", "root", "tmp"] {
        fs::create_dir_all(root.join(name))?;
    }
    for (name, text) in [
        ("etc/vortex.xml", ""),
        ("etc/passwd", "root::0:0:root:/root:/bin/sh\n"),
        ("etc/group", "root::0:\n"),
    ] {
        fs::write(root.join(name), text)?;
    }
    let mut files = userland::build()?;
    files.push(busybox.clone());
    if let Some(over) = over {
        files.extend(libraries::of_folder(over)?);
    }
    for file in &files {
        let to = root.join(file.path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap_or(&root))?;
        fs::copy(&file.file, &to).with_context(|| format!("cannot copy {}", file.path))?;
    }
    for tool in tools(busybox)? {
        let link = root.join("bin").join(tool);
        if !link.exists() {
            symlink("busybox", &link)?;
        }
    }
    if let Some(over) = over {
        let mut copy = process::command("cp");
        copy.args(["-a", "--"]).arg(over.join(".")).arg(&root);
        process::run_quietly("copying the folder", &mut copy)?;
    }
    rootfs::with_room(Some(&root), ROOM, image)
}

/// The names of BusyBox's tools.
fn tools(busybox: &GuestFile) -> Result<Vec<String>> {
    let listed = process::command(&busybox.file).arg("--list").output();
    let listed = listed.context("cannot ask BusyBox what it has")?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names = text.lines().filter(|name| *name != "busybox");
    Ok(names.map(str::to_owned).collect())
}

/// How a session has come to its end.
enum How {
    /// The guest has ended.
    Ended,
    /// Whoever types has left it.
    Left,
    /// The time is over.
    Late,
}

/// Passes on what is written there and typed here.
fn converse(guest: &mut Guest, deadline: Option<Instant>, log: &mut Log) -> Result<How> {
    let mut output = stdout();
    let mut spinner = Some(ui::Spinner::start("booting"));
    let mut typing = None;
    let is_left = Arc::new(AtomicBool::new(false));
    loop {
        if is_left.load(Ordering::Relaxed) {
            return Ok(How::Left);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(How::Late);
        }
        match guest.next(qemu::within(GLANCE)) {
            Next::Line(line) => log.add(&line.text),
            Next::Output(bytes) => {
                if spinner.take().is_some() {
                    typing = begin_typing(guest, &is_left)?;
                }
                let written = output.write_all(&bytes).and_then(|()| output.flush());
                written.context("cannot show what the guest writes")?;
            }
            Next::Over => break,
            Next::Deadline => {}
        }
    }
    drop(typing);
    Ok(How::Ended)
}

/// The shell is there: what is typed is for it from now on.
fn begin_typing(guest: &Guest, is_left: &Arc<AtomicBool>) -> Result<Option<RawMode>> {
    let typist = guest.typist().context("the guest has no console")?;
    let raw = RawMode::begin()?;
    let mut keys = Keys::default();
    if raw.is_some() {
        ui::header("Ctrl-A x ends the machine, Ctrl-A Ctrl-A is one Ctrl-A");
        keys.commands = true;
    }
    let is_left = is_left.clone();
    std::thread::spawn(move || {
        // The guest may end meanwhile, or standard input; both end this.
        if type_all(&typist, keys).is_ok_and(|left| left) {
            is_left.store(true, Ordering::Relaxed);
        }
    });
    Ok(raw)
}

/// Types all that comes on standard input; true if it was asked to end the machine.
fn type_all(typist: &Typist, mut keys: Keys) -> Result<bool> {
    let mut bytes = [0; 1024];
    loop {
        let length = stdin().read(&mut bytes)?;
        if length == 0 {
            loop {
                typist.type_in(&[END])?;
                std::thread::sleep(AGAIN);
            }
        }
        let (typed, leaves) = keys.typed(&bytes[..length]);
        typist.type_in(&typed)?;
        if leaves {
            return Ok(true);
        }
    }
}

/// What keys mean here.
#[derive(Default)]
struct Keys {
    /// Whether any means something here.
    commands: bool,
    /// The last one was Ctrl-A.
    is_escaped: bool,
}

impl Keys {
    const ESCAPE: u8 = 1;

    /// What of these bytes is for the guest, and whether the machine is to end.
    fn typed(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut typed = Vec::new();
        for &byte in bytes {
            match (std::mem::take(&mut self.is_escaped), byte) {
                (false, Self::ESCAPE) if self.commands => self.is_escaped = true,
                (true, b'x') => return (typed, true),
                (false, _) | (true, Self::ESCAPE) => typed.push(byte),
                (true, byte) => typed.extend([Self::ESCAPE, byte]),
            }
        }
        (typed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(commands: bool) -> Keys {
        Keys {
            commands,
            is_escaped: false,
        }
    }

    #[test]
    fn control_a_x_ends_the_machine_and_all_else_is_typed() {
        let mut typed = keys(true);
        assert_eq!(typed.typed(b"ls\r\x03"), (b"ls\r\x03".to_vec(), false));
        assert_eq!(typed.typed(b"\x01"), (vec![], false));
        assert_eq!(typed.typed(b"\x01b"), (b"\x01b".to_vec(), false));
        assert_eq!(typed.typed(b"\x01c"), (b"\x01c".to_vec(), false));
        assert_eq!(typed.typed(b"a\x01xb"), (b"a".to_vec(), true));
    }

    #[test]
    fn a_script_is_typed_as_it_is() {
        let mut typed = keys(false);
        assert_eq!(typed.typed(b"\x01x"), (b"\x01x".to_vec(), false));
    }
}
