//! How the guest's instructions run: by the host's processor (KVM) or by emulation (TCG).
//!
//! That `/dev/kvm` exists does not mean that a guest runs: inside a virtual machine it may be there
//! and run a few instructions but not others, or hang. So [`detect`] starts a guest of the firmware
//! alone, with two processors, and looks whether it gets so far as to look for something to boot.
//! The answer holds until the host boots again.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::qemu::{self, Boot, Guest, GuestConfig, Next};
use crate::{ui, workspace};

/// A way to run the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The host's processor runs them.
    Kvm,
    /// QEMU translates them, one host thread for each virtual processor.
    Tcg,
    /// QEMU translates and counts them, on one host thread: the number executed, times 2^`shift`
    /// ns, is the guest's time, however busy the host is. What sleeps in the guest takes no time.
    Counted {
        /// From 0 to 10.
        shift: u8,
    },
    /// The same, for a guest that somebody outside sends something: it is held back to the host's
    /// clock, and sleeps by it. Where the host cannot keep up, the guest's time is late.
    Paced {
        /// From 0 to 10.
        shift: u8,
    },
}

impl Accel {
    /// QEMU's `-accel` argument.
    #[must_use]
    pub fn argument(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
            Self::Counted { .. } | Self::Paced { .. } => "tcg,thread=single",
        }
    }

    /// The argument of QEMU's `-smp` for so many processors.
    ///
    /// QEMU 7.2 leaves out a guest's memory barriers if it can never have but one emulated processor. Its
    /// devices run beside that one all the same: a driver that lets a device interrupt, and then looks
    /// whether there is something already, now and then misses it, and is not interrupted either. So there
    /// is room for a second processor, which never comes.
    #[must_use]
    pub fn processors(self, number: u32) -> String {
        match (self, number) {
            (Self::Tcg, 1) => "1,maxcpus=2".into(),
            _ => number.to_string(),
        }
    }

    /// The argument of QEMU's `-icount`, if it counts.
    #[must_use]
    pub fn counting(self) -> Option<String> {
        match self {
            Self::Kvm | Self::Tcg => None,
            Self::Counted { shift } => Some(format!("shift={shift},sleep=off")),
            Self::Paced { shift } => Some(format!("shift={shift},sleep=on,align=on")),
        }
    }

    /// The processor model with everything that this way can offer.
    #[must_use]
    pub fn default_cpu(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::Tcg | Self::Counted { .. } | Self::Paced { .. } => "max",
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG emulation",
            Self::Counted { .. } | Self::Paced { .. } => {
                "TCG emulation with instructions for a clock"
            }
        })
    }
}

/// What the firmware says once all its drivers run.
const SIGN_OF_LIFE: &str = "BdsDxe";
/// What QEMU says when KVM cannot go on; the guest then stands still.
const SIGN_OF_FAILURE: &str = "KVM internal error";
/// Under KVM the firmware takes one second or two.
const PROBE_TIME: Duration = Duration::from_secs(15);

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

/// Whether the firmware comes up this way.
fn runs(accel: Accel) -> Result<bool> {
    let mut config = GuestConfig::new(Boot::Nothing, accel);
    config.smp = 2;
    config.memory = "128M".into();
    config.extra.push("-nodefaults".into());
    let deadline = qemu::within(PROBE_TIME);
    let mut guest = Guest::start(&config)?;
    loop {
        match guest.next(deadline) {
            Next::Line(line) if line.text.contains(SIGN_OF_LIFE) => return Ok(true),
            Next::Line(line) if line.text.contains(SIGN_OF_FAILURE) => return Ok(false),
            Next::Line(_) | Next::Output(_) => {}
            Next::Over | Next::Deadline => return Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{firmware, process};

    #[test]
    fn the_firmware_comes_up_under_emulation() {
        let there = process::find_program("qemu-system-x86_64").and(firmware::find());
        if there.is_some() {
            assert!(runs(Accel::Tcg).unwrap());
        }
    }
}
