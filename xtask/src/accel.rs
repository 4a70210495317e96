//! How the guest's instructions run: by the host's processor (KVM) or by emulation (TCG).
//!
//! That `/dev/kvm` exists does not mean that a guest runs: inside a virtual machine it may be there
//! and still fail, or hang. So [`detect`] starts one: nine bytes of firmware that write [`ANSWER`]
//! to QEMU's exit device. The answer holds until the host boots again.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process::{self, Running};
use crate::{ui, workspace};

/// A way to run the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The host's processor runs them.
    Kvm,
    /// QEMU translates them, one host thread for each virtual processor.
    Tcg,
}

impl Accel {
    /// QEMU's `-accel` argument.
    #[must_use]
    pub fn argument(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }

    /// The processor model with everything that this way can offer.
    #[must_use]
    pub fn default_cpu(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::Tcg => "max",
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG emulation",
        })
    }
}

/// What the probe writes to the exit device; QEMU then exits with `ANSWER * 2 + 1`.
const ANSWER: u8 = 0x2a;
/// QEMU starts in a tenth of a second, and nine instructions take no time.
const PROBE_TIME: Duration = Duration::from_secs(5);

/// KVM where a guest really runs under it, TCG otherwise.
///
/// # Errors
/// When the answer cannot be kept in the target folder.
pub fn detect() -> Result<Accel> {
    if !Path::new("/dev/kvm").exists() {
        return Ok(Accel::Tcg);
    }
    // Without a boot id there is no telling how long the answer holds: then it is never found.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let memory = workspace::memory_file("accel")?;
    let remembered = fs::read_to_string(&memory).unwrap_or_default();
    match remembered.strip_prefix(&boot).filter(|_| !boot.is_empty()) {
        Some("kvm") => return Ok(Accel::Kvm),
        Some("tcg") => return Ok(Accel::Tcg),
        _ => {}
    }
    let _spinner = ui::Spinner::start("trying a guest under KVM");
    let (accel, word) = match runs(Accel::Kvm) {
        Ok(true) => (Accel::Kvm, "kvm"),
        Ok(false) | Err(_) => (Accel::Tcg, "tcg"),
    };
    workspace::write_whole(&memory, format!("{boot}{word}").as_bytes())?;
    Ok(accel)
}

/// Whether a guest runs this way.
fn runs(accel: Accel) -> Result<bool> {
    let file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    fs::write(file.path(), probe_firmware())?;
    let mut qemu = process::command("qemu-system-x86_64");
    qemu.args([
        "-accel",
        accel.argument(),
        "-cpu",
        accel.default_cpu(),
        "-machine",
        "pc",
    ])
    .args(["-m", "16", "-nodefaults", "-display", "none", "-bios"])
    .arg(file.path())
    .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"])
    .stdout(Stdio::null())
    .stderr(Stdio::null());
    let status = Running::start(&mut qemu)?.wait_until(Instant::now() + PROBE_TIME)?;
    Ok(status.and_then(|status| status.code()) == Some(i32::from(ANSWER) * 2 + 1))
}

/// A ROM of 64 KiB whose last 16 bytes, where the processor begins, are the program.
fn probe_firmware() -> Vec<u8> {
    const PROGRAM: [u8; 9] = [
        0xba, 0xf4, 0x00, // mov dx, 0xf4
        0xb0, ANSWER, // mov al, ANSWER
        0xee,   // out dx, al
        0xf4,   // hlt
        0xeb, 0xfd, // jmp to the hlt
    ];
    let mut rom = vec![0; 64 * 1024];
    let start = rom.len() - 16;
    rom[start..start + PROGRAM.len()].copy_from_slice(&PROGRAM);
    rom
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_answers_where_a_guest_runs() {
        if process::find_program("qemu-system-x86_64").is_some() {
            assert!(runs(Accel::Tcg).unwrap());
        }
    }
}
