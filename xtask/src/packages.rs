//! What has to be installed beside Rust: finding it, and installing it by apt.
//!
//! [`require`] costs a few file look-ups when everything is there; apt is called only for what is
//! missing. On systems without apt the error lists what to install.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{self, find_program};
use crate::{firmware, ui, workspace};

/// Something that the system's package manager provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    /// The machine emulator.
    Qemu,
    /// UEFI firmware for it.
    Firmware,
    /// `mke2fs`, which makes the root file system.
    Ext2Tools,
    /// Counts instructions, for the benches.
    Valgrind,
    /// `ab`, which asks web servers.
    ApacheBench,
    /// `ip` and `tc`, which make networks.
    NetworkTools,
    /// `dnsmasq`, from which machines boot.
    Dnsmasq,
    /// `c++`, which compiles the fuzzer.
    Cxx,
    /// A compiler, where rustup's will not do.
    Compiler,
    /// The library sources that belong to [`Package::Compiler`].
    CompilerSources,
    /// The linker for bare metal.
    Linker,
    /// Lints for [`Package::Compiler`].
    Clippy,
}

impl Package {
    /// All that some command needs, but the compilers, which are looked for elsewhere first.
    pub const ALL: [Self; 8] = [
        Self::Qemu,
        Self::Firmware,
        Self::Ext2Tools,
        Self::Valgrind,
        Self::ApacheBench,
        Self::NetworkTools,
        Self::Dnsmasq,
        Self::Cxx,
    ];

    /// What it is called on Debian and Ubuntu.
    fn apt_name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-system-x86",
            Self::Firmware => "ovmf",
            Self::Ext2Tools => "e2fsprogs",
            Self::Valgrind => "valgrind",
            Self::ApacheBench => "apache2-utils",
            Self::NetworkTools => "iproute2",
            Self::Dnsmasq => "dnsmasq-base",
            Self::Cxx => "g++",
            Self::Compiler => "rustc-web",
            Self::CompilerSources => "rust-web-src",
            Self::Linker => "rust-web-llvm",
            Self::Clippy => "rust-web-clippy",
        }
    }

    /// Whether it comes with a version of Rust.
    fn is_of_compiler(self) -> bool {
        matches!(
            self,
            Self::Compiler | Self::CompilerSources | Self::Linker | Self::Clippy
        )
    }

    /// Whether what the package is wanted for is there, from wherever it came. The compiler's parts
    /// are judged by [`crate::toolchain`], which asks for them only when they are missing.
    fn is_there(self) -> bool {
        match self {
            Self::Qemu => find_program("qemu-system-x86_64").is_some(),
            Self::Firmware => firmware::find().is_some(),
            Self::Ext2Tools => find_program("mke2fs").is_some(),
            Self::Valgrind => find_program("valgrind").is_some(),
            Self::ApacheBench => find_program("ab").is_some(),
            Self::NetworkTools => ["ip", "tc"].iter().all(|name| find_program(name).is_some()),
            Self::Dnsmasq => find_program("dnsmasq").is_some(),
            Self::Cxx => find_program("c++").is_some(),
            Self::Compiler | Self::CompilerSources | Self::Linker | Self::Clippy => false,
        }
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qemu => "qemu-system-x86_64 (the QEMU machine emulator, 7.2 or newer)",
            Self::Firmware => "OVMF.fd or OVMF_CODE.fd (UEFI firmware for QEMU, of EDK II)",
            Self::Ext2Tools => "mke2fs (of e2fsprogs)",
            Self::Valgrind => "valgrind (which counts instructions)",
            Self::ApacheBench => "ab (ApacheBench, of the Apache HTTP server)",
            Self::NetworkTools => "ip and tc (of iproute2)",
            Self::Dnsmasq => "dnsmasq (2.76 or newer)",
            Self::Cxx => "c++ (a C++ compiler)",
            Self::Compiler => "rustc 1.95 or newer",
            Self::CompilerSources => "the Rust library sources of that rustc (rust-src)",
            Self::Linker => "rust-lld (LLVM's linker)",
            Self::Clippy => "cargo-clippy of the kernel's toolchain",
        })
    }
}

/// Makes sure of `packages`: installs those that are not there.
///
/// # Errors
/// When something is missing and cannot be installed; the error says what to do.
pub fn require(packages: &[Package]) -> Result<()> {
    let missing: Vec<_> = packages
        .iter()
        .copied()
        .filter(|package| !package.is_there())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let _lock = workspace::lock(&workspace::memory_file("packages.lock")?)?;
    install(&missing)?;
    if let Some(package) = missing.iter().find(|package| !package.is_there()) {
        bail!(
            "{} is installed, but there is no {package}",
            package.apt_name()
        );
    }
    Ok(())
}

/// Installs packages by apt.
///
/// # Errors
/// When there is no apt, no right to use it, or it fails; the error says what to do.
pub(crate) fn install(packages: &[Package]) -> Result<()> {
    let names: Vec<_> = packages.iter().map(|package| package.apt_name()).collect();
    let names = names.join(" ");
    if !Path::new("/etc/debian_version").exists() || find_program("apt-get").is_none() {
        let list: Vec<_> = packages
            .iter()
            .map(|package| format!("\n  {package}"))
            .collect();
        bail!(
            "missing; install these with your system's package manager, then try again:{}",
            list.concat()
        );
    }
    let by_hand = format!("run this, then try again: apt-get install {names}");
    let Some(become_root) = way_to_root() else {
        bail!("missing: {names}; neither root nor sudo; as root, {by_hand}");
    };
    let label = format!("installing {names}");
    let update = || {
        process::run_quietly(
            "updating the package lists",
            &mut apt(become_root, "update"),
        )
    };
    let install =
        || process::run_quietly(&label, apt(become_root, "install").args(names.split(' ')));
    // The lists may be missing, as in a new container, or too old to fetch by. A new enough
    // compiler is among the security updates, which old lists do not have.
    let result = if packages.iter().any(|package| package.is_of_compiler()) {
        update().and_then(|()| install())
    } else {
        install().or_else(|_| update().and_then(|()| install()))
    };
    match result {
        Ok(()) => {
            ui::done(&format!("installed {names}"));
            Ok(())
        }
        Err(error) => bail!("{error:#}\napt-get failed; {by_hand}"),
    }
}

/// How a command gets root's rights.
#[derive(Clone, Copy)]
enum Root {
    Already,
    Sudo,
}

fn way_to_root() -> Option<Root> {
    if rustix::process::geteuid().is_root() {
        return Some(Root::Already);
    }
    find_program("sudo")?;
    // Asks for the password here, on the terminal: the commands that follow have their output read.
    let allowed = Command::new("sudo").arg("--validate").status();
    allowed
        .is_ok_and(|status| status.success())
        .then_some(Root::Sudo)
}

fn apt(root: Root, action: &str) -> Command {
    let mut command = match root {
        Root::Already => process::command("env"),
        Root::Sudo => {
            let mut command = process::command("sudo");
            command.args(["--non-interactive", "env"]);
            command
        }
    };
    command
        .args([
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            action,
            "--quiet",
            "--yes",
        ])
        .args(["--option", "DPkg::Lock::Timeout=300"]);
    if action == "install" {
        command.arg("--no-install-recommends");
    }
    command
}
