//! Disks of a guest, and the controller they are at.
//!
//! Key types: [`Disk`] (an image file, perhaps slowed down or made to fail), [`Controller`],
//! [`Backing`] (how much the host does for them).

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

/// The SCSI controller that a guest's disks are at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Controller {
    /// virtio-scsi
    VirtioScsi,
    /// MegaRAID SAS 1078
    Megasas,
    /// MegaRAID SAS 2108
    MegasasGen2,
}

impl Controller {
    /// What QEMU calls it.
    const fn device(self) -> &'static str {
        match self {
            Self::VirtioScsi => "virtio-scsi-pci",
            Self::Megasas => "megasas",
            Self::MegasasGen2 => "megasas-gen2",
        }
    }
}

/// What the host does for a guest's disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// What a guest has flushed is on the host's disk. QEMU's main thread sees to them, which also carries
    /// packets, one thing after another: what is written delays those.
    Durable,
    /// As little as it can, so that it is the guest that is measured: what is written is lost with the host,
    /// and flushed is nothing. At virtio-scsi, other threads of QEMU's see to them, of which one at a time
    /// moves data: so they take no more than one of the host's processors. Other controllers know only the
    /// main one.
    Scratch,
}

/// A disk: an image file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The image: raw bytes.
    pub file: PathBuf,
    /// Bytes per second that it does at the most.
    pub throttle: Option<u64>,
    /// Bytes per second that it reads at the most.
    pub read_throttle: Option<u64>,
    /// QEMU's `blkdebug` rules by which it fails.
    pub faults: Option<PathBuf>,
    /// It cannot be written.
    pub read_only: bool,
}

impl Disk {
    /// This image.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            throttle: None,
            read_throttle: None,
            faults: None,
            read_only: false,
        }
    }

    /// What QEMU is told of it; its name is `disk` and a number.
    fn drive(&self, number: usize, backing: Backing) -> OsString {
        // A comma in a value is written twice.
        let quoted = |path: &PathBuf| {
            let path = path.to_string_lossy().replace(',', ",,");
            OsString::from(path)
        };
        let mut drive = OsString::from(format!("if=none,id=disk{number},format=raw,file="));
        if let Some(faults) = &self.faults {
            drive.push("blkdebug:");
            drive.push(quoted(faults));
            drive.push(":");
        }
        drive.push(quoted(&self.file));
        if backing == Backing::Scratch {
            drive.push(",cache=unsafe");
        }
        if self.read_only {
            drive.push(",readonly=on");
        }
        if let Some(bytes) = self.throttle {
            drive.push(format!(",throttling.bps-total={bytes}"));
        }
        if let Some(bytes) = self.read_throttle {
            drive.push(format!(",throttling.bps-read={bytes}"));
        }
        drive
    }
}

/// `FILE[,throttle=BYTES/s]`.
impl FromStr for Disk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (file, throttle) = match text.rsplit_once(",throttle=") {
            Some((file, rate)) => {
                let digits = rate.trim_end_matches("/s");
                let bytes = digits.parse().ok().filter(|bytes| *bytes > 0);
                let bytes = bytes.ok_or_else(|| {
                    format!(
                        "throttle={rate}: expected a number of bytes per second, such as 20000000"
                    )
                })?;
                (file, Some(bytes))
            }
            None => (text, None),
        };
        if file.is_empty() {
            return Err("expected FILE or FILE,throttle=BYTES/s".into());
        }
        Ok(Self {
            throttle,
            ..Self::new(file)
        })
    }
}

/// What QEMU calls the thread of [`Backing::Scratch`].
const THREAD: &str = "disks-thread";

/// The QEMU arguments for disks at a controller; none without disks.
#[must_use]
pub fn arguments(controller: Controller, backing: Backing, disks: &[Disk]) -> Vec<OsString> {
    if disks.is_empty() {
        return Vec::new();
    }
    let mut all: Vec<OsString> = Vec::new();
    let mut device = format!("{},id=disks", controller.device());
    if (controller, backing) == (Controller::VirtioScsi, Backing::Scratch) {
        all.extend([
            "-object".into(),
            format!("iothread,id={THREAD},thread-pool-max=1").into(),
        ]);
        device += &format!(",iothread={THREAD}");
    }
    all.extend(["-device".into(), device.into()]);
    for (number, disk) in disks.iter().enumerate() {
        all.extend(["-drive".into(), disk.drive(number, backing)]);
        // The firmware does not boot from them.
        let device =
            format!("scsi-hd,bus=disks.0,scsi-id={number},id=hd{number},drive=disk{number}");
        all.extend(["-device".into(), device.into()]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_read_from_the_command_line() {
        let plain: Disk = "a,b.img".parse().unwrap();
        assert_eq!(plain, Disk::new("a,b.img"));
        for text in ["x.img,throttle=20000000", "x.img,throttle=20000000/s"] {
            let slow: Disk = text.parse().unwrap();
            assert_eq!(slow.throttle, Some(20_000_000));
            assert_eq!(slow.file, PathBuf::from("x.img"));
        }
        for bad in [
            "",
            ",throttle=5",
            "x,throttle=",
            "x,throttle=0",
            "x,throttle=1M",
        ] {
            assert!(bad.parse::<Disk>().is_err(), "{bad}");
        }
    }

    #[test]
    fn qemu_is_told_of_each_disk() {
        let mut slow = Disk::new("a,b.img");
        slow.throttle = Some(5);
        slow.read_only = true;
        let all = arguments(Controller::Megasas, Backing::Durable, &[slow]);
        let expected = [
            "-device",
            "megasas,id=disks",
            "-drive",
            "if=none,id=disk0,format=raw,file=a,,b.img,readonly=on,throttling.bps-total=5",
            "-device",
            "scsi-hd,bus=disks.0,scsi-id=0,id=hd0,drive=disk0",
        ];
        assert_eq!(all, expected);
        assert!(arguments(Controller::VirtioScsi, Backing::Scratch, &[]).is_empty());
    }

    #[test]
    fn the_host_does_little_for_what_is_measured() {
        let all = |controller, backing| {
            let all = arguments(controller, backing, &[Disk::new("a.img")]);
            let all: Vec<String> = (all.into_iter())
                .map(|word| word.into_string().unwrap())
                .collect();
            all.join(" ")
        };
        assert_eq!(
            all(Controller::VirtioScsi, Backing::Scratch),
            "-object iothread,id=disks-thread,thread-pool-max=1 \
             -device virtio-scsi-pci,id=disks,iothread=disks-thread \
             -drive if=none,id=disk0,format=raw,file=a.img,cache=unsafe \
             -device scsi-hd,bus=disks.0,scsi-id=0,id=hd0,drive=disk0"
        );
        // The controller does not know threads.
        let megasas = all(Controller::Megasas, Backing::Scratch);
        assert!(!megasas.contains("thread") && megasas.contains("cache=unsafe"));
        let durable = all(Controller::VirtioScsi, Backing::Durable);
        assert!(!durable.contains("thread") && !durable.contains("cache"));
    }
}
