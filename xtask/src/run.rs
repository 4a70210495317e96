//! `cargo xtask run`: boots the kernel in QEMU, its log on the terminal; or one program, and what it
//! writes ([`exec`]); or a shell to type at ([`shell`]); or the demonstration ([`demo`]).

mod demo;
mod exec;
mod shell;

pub(crate) use demo::STATISTICS_PORT;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail};
use xtask::accel::{self, Accel};
use xtask::boot_image::{BootImage, Parts};
use xtask::disks::{self, Backing, Controller, Disk};
use xtask::nic::{self, Forward, Nic};
use xtask::packages::{self, Package};
use xtask::qemu::{self, Boot, Exit, Guest, GuestConfig, Machine, Next};
use xtask::{program, ui};

use crate::image::Contents;

/// The status of `timeout(1)` for the same reason.
const TIMED_OUT: u8 = 124;
/// How long the firmware may take to its first word; under emulation it takes three seconds.
const FIRMWARE_START: Duration = Duration::from_secs(120);
/// What the firmware says when it waits for somebody to choose what to boot.
const NOTHING_TO_BOOT: [&str; 2] = ["BdsDxe: No bootable option", "UEFI Interactive Shell"];
const MEMORY_HINT: &str = "too little memory? it needs about 40 MiB";
/// How long QEMU may take to end after its log has.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// Boot the kernel in QEMU
///
/// Without options that say what is to run it is the demonstration: three web servers in three
/// activities with shares of 50, 33 and 17, and a page with live statistics in a fourth; their addresses
/// are said, and once a second there is a table of what each has used; until Ctrl-C.
///
/// The kernel's log comes on standard output. Ends when the guest powers off, with the guest's own
/// status: 0 when all went well, 101 after a panic, 124 when the time was over, 130 after Ctrl-C.
///
/// With --exec one program runs, and only what it writes comes on standard output. The status is the
/// program's then, or 128 and the signal's number if a signal ended it.
///
/// With --shell it is Debian's BusyBox, as it is, on a disk of its own that is gone afterwards. What
/// is typed here goes to the guest's terminal; without a terminal here, what comes on standard input
/// does, and Ctrl-D at its end. The first --disk is /dev/sdb there: mount /dev/sdb /mnt
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The number of processors
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=255))]
    smp: u32,
    /// The amount of memory
    #[arg(
        long,
        value_name = "SIZE",
        help = "The amount of memory [default: 512M and what files need]"
    )]
    mem: Option<String>,
    /// What to boot from
    #[arg(long, default_value = "disk")]
    boot: BootFrom,
    /// How the guest's instructions run
    #[arg(long, default_value = "auto")]
    accel: AccelChoice,
    /// The kind of mainboard
    #[arg(long, default_value = "q35")]
    machine: Machine,
    /// The processor model [default: the most capable one]
    #[arg(long, value_name = "MODEL")]
    cpu: Option<String>,
    /// Show no window; and boot the kernel alone, rather than the demonstration
    #[arg(long)]
    headless: bool,
    /// End the guest after so many seconds
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// A disk: an image file, which may be slowed down; may be given several times
    #[arg(long = "disk", value_name = "FILE[,throttle=BYTES/s]")]
    disks: Vec<Disk>,
    /// The controller that the disks are at
    #[arg(long, default_value = "virtio-scsi")]
    controller: Controller,
    #[arg(
        long,
        value_name = "NIC",
        help = "The network interface, at QEMU's user network [default: none; virtio-net for the demonstration]"
    )]
    nic: Option<Nic>,
    /// Let the host reach a TCP port of the guest's, at 127.0.0.1; may be given several times
    #[arg(long = "forward", value_name = "HOST:GUEST")]
    forwards: Vec<Forward>,
    /// An argument for QEMU; may be given several times
    #[arg(long = "qemu-arg", value_name = "ARG", allow_hyphen_values = true)]
    qemu_args: Vec<OsString>,
    /// Boot the images in this folder, as `cargo xtask image` made them
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "options", "rootfs", "exec"])]
    image_dir: Option<PathBuf>,
    /// Start this program alone, and show what it writes; its arguments are split as a shell does
    #[arg(long, value_name = "PATH ARGS")]
    exec: Option<String>,
    /// Start BusyBox's shell on the console, and type at it here; Ctrl-A x ends the machine
    #[arg(long, conflicts_with_all = ["exec", "image_dir", "boot"])]
    shell: bool,
    /// A variable of the program's environment; may be given several times
    #[arg(long = "env", value_name = "NAME=VALUE", requires = "exec")]
    environment: Vec<String>,
    /// Lay this folder over the root file system; libraries it lacks for its programs are this machine's
    #[arg(long, value_name = "DIR")]
    rootfs: Option<PathBuf>,
    /// Show the kernel's log too, on standard error, beside a program or the demonstration
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    contents: Contents,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum BootFrom {
    /// The UEFI disk
    Disk,
    /// The network: QEMU's own DHCP and TFTP servers
    Pxe,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum AccelChoice {
    /// KVM where a guest really runs under it, TCG otherwise
    Auto,
    /// The host's processor
    Kvm,
    /// Emulation
    Tcg,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware])?;
    if let Some(line) = &args.exec {
        return exec::run(args, line);
    }
    if args.shell {
        return shell::run(args);
    }
    if is_demonstration(args) {
        return demo::run(args);
    }
    let config = guest_config(args)?;
    ui::header(&format!(
        "booting from {}: {} processors, {}, {}",
        match args.boot {
            BootFrom::Disk => "disk",
            BootFrom::Pxe => "the network",
        },
        config.smp,
        config.memory,
        config.accel
    ));
    let deadline = args.timeout.map(Duration::from_secs);
    let mut guest = Guest::start(&config)?;
    let Some(exit) = show_log(&mut guest, deadline)? else {
        ui::error(&format!(
            "the guest did not end within {} s",
            args.timeout.unwrap_or_default()
        ));
        return Ok(TIMED_OUT.into());
    };
    let text = format!("{exit} after {}", ui::seconds(guest.started().elapsed()));
    match exit.code() {
        0 => ui::done(&text),
        _ => ui::error(&text),
    }
    Ok(exit.code().into())
}

/// Whether nothing is said of what is to run.
fn is_demonstration(args: &Args) -> bool {
    let contents = &args.contents;
    let says_nothing = contents.config.is_none() && contents.options.is_empty();
    let is_plain = args.disks.is_empty() && args.image_dir.is_none() && !args.headless;
    says_nothing && is_plain && matches!(args.boot, BootFrom::Disk)
}

fn guest_config(args: &Args) -> Result<GuestConfig> {
    let (image, memory) = match &args.image_dir {
        Some(dir) => (BootImage::in_dir(dir.clone()), program::memory_for(&[])),
        None => own_image(args)?,
    };
    let accel = args.accel.choose().map_or_else(accel::detect, Ok)?;
    let (boot, file) = match args.boot {
        BootFrom::Disk => (Boot::Disk(image.disk()), image.disk()),
        BootFrom::Pxe => (Boot::Pxe(image.pxe()), image.pxe().join("bootloader")),
    };
    if !file.is_file() {
        bail!(
            "there is no {}; make it with `cargo xtask image --out DIR`",
            file.display()
        );
    }
    let mut config = GuestConfig::new(boot, accel);
    config.smp = args.smp;
    config.memory = args.mem.clone().unwrap_or(memory);
    config.machine = args.machine;
    config.cpu.clone_from(&args.cpu);
    config.window = !args.headless && has_screen();
    config.extra = extra(args)?;
    Ok(config)
}

/// QEMU arguments for the disks and the network, and those that were given.
fn extra(args: &Args) -> Result<Vec<OsString>> {
    if let Some(missing) = args.disks.iter().find(|disk| !disk.file.is_file()) {
        bail!(
            "there is no disk image {}; make one with `truncate --size 64M FILE`",
            missing.file.display()
        );
    }
    let mut extra = disks::arguments(args.controller, Backing::Durable, &args.disks);
    extra.extend(network(args)?);
    extra.extend(args.qemu_args.iter().cloned());
    Ok(extra)
}

/// QEMU arguments for the network.
fn network(args: &Args) -> Result<Vec<OsString>> {
    let nic = args.nic.unwrap_or(Nic::None);
    if nic == Nic::None && !args.forwards.is_empty() {
        bail!("without a network interface no port can be forwarded; give one with --nic");
    }
    Ok(nic::arguments(nic, 0, &args.forwards))
}

impl AccelChoice {
    /// `None` if it is to be found out.
    fn choose(self) -> Option<Accel> {
        match self {
            Self::Auto => None,
            Self::Kvm => Some(Accel::Kvm),
            Self::Tcg => Some(Accel::Tcg),
        }
    }
}

/// An image for these contents, and the memory it needs. Runs with other contents at the same time
/// use another folder.
fn own_image(args: &Args) -> Result<(BootImage, String)> {
    let ramdisk = args.contents.ramdisk(&[], args.rootfs.as_deref())?;
    let image = BootImage::with_ramdisk("run", &ramdisk)?;
    image.make_boot(&Parts::build()?, Some(&ramdisk))?;
    Ok((image, program::memory_for(&ramdisk)))
}

/// Whether QEMU can open a window.
fn has_screen() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let screen = set("DISPLAY") || set("WAYLAND_DISPLAY");
    if !screen {
        ui::warn("no screen for a window; as with --headless");
    }
    screen
}

/// Prints the log until the guest ends; `None` when the time is over first. A firmware that does
/// not start, or finds nothing to boot, would wait for ever: that is an error.
fn show_log(guest: &mut Guest, timeout: Option<Duration>) -> Result<Option<Exit>> {
    // Without a limit: so far ahead that nobody sees it.
    let deadline = guest.started() + timeout.unwrap_or(Duration::from_secs(10 * 365 * 86_400));
    let silent_until = guest.started() + FIRMWARE_START;
    let mut spinner = Some(ui::Spinner::start("waiting for the firmware"));
    let colours = std::io::stdout().is_terminal();
    loop {
        let silent = spinner.is_some();
        match guest.next(if silent {
            deadline.min(silent_until)
        } else {
            deadline
        }) {
            Next::Line(line) if line.text.trim().is_empty() => {}
            Next::Line(line) => {
                spinner = None;
                print(&line.text, colours)?;
                if NOTHING_TO_BOOT
                    .iter()
                    .any(|words| line.text.contains(words))
                {
                    bail!("the firmware found nothing that it can boot ({MEMORY_HINT})");
                }
            }
            // There is no port for it.
            Next::Output(_) => {}
            Next::Over => break,
            Next::Deadline if Instant::now() >= deadline => return Ok(None),
            Next::Deadline => bail!(
                "the firmware said nothing for {} ({MEMORY_HINT}, or a machine without ACPI)",
                ui::seconds(FIRMWARE_START)
            ),
        }
    }
    drop(spinner);
    match guest.exit(qemu::within(LAST_WAIT).min(deadline.max(Instant::now())))? {
        Some(exit) => Ok(Some(exit)),
        None if Instant::now() >= deadline => Ok(None),
        None => bail!("QEMU closed its log and does not end"),
    }
}

/// Prints a line of the log; warnings and errors in colour, on a terminal.
fn print(line: &str, colours: bool) -> Result<()> {
    let style = if !colours {
        Style::new()
    } else if line.contains(" ERROR ") || line.starts_with("vortex: core ") {
        AnsiColor::Red.on_default()
    } else if line.contains(" WARN ") {
        AnsiColor::Yellow.on_default()
    } else if line.starts_with("vortex: ") {
        Style::new().bold()
    } else {
        Style::new()
    };
    writeln!(std::io::stdout(), "{style}{line}{style:#}").context("cannot print the guest's log")
}
