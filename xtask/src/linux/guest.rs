//! Linux, started with what [`program::start`](crate::program::start) starts Vortex with: the same
//! programs, configuration and QEMU.
//!
//! Key types: [`Setup`] (what an administrator does before the programs start), [`Started`]. The first
//! process is a shell script that mounts, loads modules and does what the setup says; then it becomes
//! `cgrun`, which makes a control group for each activity of the configuration.

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{Linux, Unpacked, initramfs};
use crate::accel;
use crate::program::Program;
use crate::qemu::{Boot, Guest, GuestConfig};
use crate::userland::{self, GuestFile};
use crate::workspace;

/// A package of Debian's, and what is needed of it.
pub type Needed = (&'static str, &'static [&'static str]);

/// What is done before the programs start.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Modules of Linux's to load; what they depend on comes first.
    pub modules: Vec<&'static str>,
    /// Packages of Debian's.
    pub packages: Vec<Needed>,
    /// The disk with the root file system, such as `sda`; without one it is in memory.
    pub disk: Option<&'static str>,
    /// Commands for a shell.
    pub commands: Vec<String>,
}

/// A guest that runs Linux. Its programs' output and how they end come as Vortex's do.
pub struct Started {
    /// The guest.
    pub guest: Guest,
    /// Linux's version.
    pub version: String,
    /// What QEMU reads.
    _folder: TempDir,
}

/// The shell that the first process is, with `mount`, `insmod`, `ip` and the like.
const SHELL: Needed = ("busybox-static", &["/bin/busybox"]);
/// What Vortex's console begins with.
const CONSOLE: &str = "vortex: console";
const CONFIGURATION: &str = "/etc/vortex.xml";

/// Boots Linux. A root file system on a disk has the programs and the configuration already.
///
/// # Errors
/// When something that it takes cannot be fetched, such as a module that Debian's kernel does not have.
pub fn start(program: &Program, setup: &Setup) -> Result<Started> {
    let linux = Linux::fetch()?;
    let mut files = linux.modules(&setup.modules)?;
    let needed = [&[SHELL], setup.packages.as_slice()].concat();
    let names: Vec<&str> = needed.iter().map(|(package, _)| *package).collect();
    let packages = Unpacked::fetch(&names)?;
    for (package, paths) in needed {
        for path in paths {
            files.push(packages.file(package, path)?);
        }
    }
    let folder = tempfile::tempdir_in(workspace::target_subdir("linux")?)?;
    let mut texts = vec![("/init", script(setup))];
    if setup.disk.is_none() {
        files.extend(userland::build()?);
        files.extend_from_slice(&program.files);
        texts.push((CONFIGURATION, program.configuration.clone()));
    }
    for (path, text) in texts {
        let file = folder.path().join(path.rsplit('/').next().unwrap_or(path));
        std::fs::write(&file, text).context("cannot write a file for Linux")?;
        files.push(GuestFile {
            path: path.into(),
            file,
        });
    }
    let archive = folder.path().join("initramfs.cpio");
    workspace::write_whole(&archive, &initramfs(&files)?)?;
    let command_line = "console=ttyS0 quiet loglevel=1 panic=-1".into();
    let boot = Boot::Linux(linux.kernel.clone(), archive, command_line);
    let accel = program.accel.map_or_else(accel::detect, Ok)?;
    let mut config = GuestConfig::new(boot, accel);
    config.smp = program.smp;
    config.memory.clone_from(&program.memory);
    config.machine = program.machine;
    config.cpu.clone_from(&program.cpu);
    config.console = true;
    config.extra.clone_from(&program.extra);
    config.launcher.clone_from(&program.launcher);
    Ok(Started {
        guest: Guest::start(&config)?,
        version: linux.version,
        _folder: folder,
    })
}

/// What the first process does. If a command fails, what it said is the last thing that the guest says.
fn script(setup: &Setup) -> String {
    let mut lines: Vec<String> = [
        "#!/bin/busybox sh",
        "set -e",
        "trap '/bin/busybox poweroff -f' EXIT",
        "export PATH=/sbin:/bin",
        // What is there already, such as `httpd`, stays.
        "/bin/busybox --install -s /bin 2>/dev/null || true",
        "mount -t proc proc /proc",
        "mount -t sysfs sysfs /sys",
        "mount -t devtmpfs dev /dev",
        "mount -t cgroup2 cgroup /sys/fs/cgroup",
    ]
    .map(Into::into)
    .into();
    if !setup.modules.is_empty() {
        lines.push("for module in /modules/*; do insmod $module; done".into());
    }
    if let Some(disk) = setup.disk {
        // Its driver finds it a while after it has been loaded.
        lines.push(format!("until [ -b /dev/{disk} ]; do sleep 0.1; done"));
    }
    lines.extend(setup.commands.iter().cloned());
    lines.extend(
        [
            "stty -F /dev/ttyS1 raw",
            &format!("printf '\\n{CONSOLE}\\n' >/dev/ttyS1"),
            "exec >/dev/ttyS1",
        ]
        .map(Into::into),
    );
    match setup.disk {
        None => lines.push("exec /bin/cgrun".into()),
        Some(disk) => lines.extend([
            format!("mount -t ext4 /dev/{disk} /disk"),
            "mkdir -p /disk/dev /disk/proc /disk/sys".into(),
            "for place in dev proc sys; do mount -o move /$place /disk/$place; done".into(),
            "exec switch_root /disk /bin/cgrun".into(),
        ]),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setup_comes_before_the_programs_and_after_the_modules() {
        let setup = Setup {
            modules: vec!["sd_mod"],
            disk: Some("sda"),
            commands: vec!["echo bfq >/sys/block/sda/queue/scheduler".into()],
            ..Setup::default()
        };
        let script = script(&setup);
        let at = |text: &str| script.find(text).unwrap_or_else(|| panic!("no {text}"));
        assert!(script.starts_with("#!/bin/busybox sh\n"));
        assert!(at("insmod") < at("until [ -b /dev/sda ]"));
        assert!(at("until") < at("echo bfq"));
        assert!(at("echo bfq") < at("vortex: console"));
        assert!(at("vortex: console") < at("exec switch_root /disk /bin/cgrun"));
    }

    #[test]
    fn without_a_disk_the_root_is_in_memory() {
        let script = script(&Setup::default());
        assert!(script.ends_with("exec /bin/cgrun\n") && !script.contains("switch_root"));
        assert!(!script.contains("insmod"), "there is none");
    }
}
