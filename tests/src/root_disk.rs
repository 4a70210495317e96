//! Disks with an ext2 file system that a guest has as its root, judged by e2fsprogs afterwards.
//!
//! Key type: [`RootDisk`].

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xtask::program::Program;
use xtask::userland::{self, GuestFile};

use crate::programs::{Ran, run};

/// A disk with the project's programs on it, in a folder that goes with it.
#[derive(Debug)]
pub struct RootDisk(tempfile::TempDir);

impl RootDisk {
    /// With so much room, and these files, by their paths from the root; those in `/bin` can be
    /// executed.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(mib: u32, files: &[(&str, &[u8])]) -> Self {
        Self::with(mib, files, &[])
    }

    /// The same, with these files of this machine's besides, as they are here.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn with(mib: u32, files: &[(&str, &[u8])], others: &[GuestFile]) -> Self {
        let place = tempfile::tempdir().expect("a folder for a disk");
        let root = place.path().join("root");
        let put = |path: &str| {
            let to = root.join(path.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap_or(&root)).expect("a folder of the disk");
            to
        };
        for folder in ["dev", "proc", "etc", "tmp"] {
            fs::create_dir_all(root.join(folder)).expect("a folder of the disk");
        }
        fs::write(put("etc/vortex.xml"), "").expect("a file of the disk");
        let mut programs = 0;
        for file in userland::build()
            .expect("the programs")
            .iter()
            .chain(others)
        {
            programs += fs::copy(&file.file, put(&file.path)).expect("a program");
        }
        for (path, contents) in files {
            fs::write(put(path), contents).expect("a file of the disk");
            if path.starts_with("/bin/") {
                let mode = Permissions::from_mode(0o755);
                fs::set_permissions(put(path), mode).expect("a program of the disk");
            }
        }
        let disk = Self(place);
        let made = tool("mke2fs")
            .args(["-q", "-F", "-t", "ext2", "-E", "root_owner=0:0"])
            .args(["-N", "40000", "-d"])
            .arg(&root)
            .arg(disk.image())
            .arg(format!("{}M", u64::from(mib) + programs.div_ceil(1 << 20)))
            .output()
            .expect("mke2fs");
        assert!(made.status.success(), "{made:?}");
        disk
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.0.path().join("image")
    }

    /// A file for QEMU beside the image, such as rules for faults.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn beside(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a file beside the image");
        path
    }

    /// A program of the disk's, with the disk as the root file system.
    #[must_use]
    pub fn program(&self, path: &str, arguments: &[&str]) -> Program {
        self.program_through("", path, arguments)
    }

    /// The same; QEMU gets at the image through `filter`, such as `blkdebug:RULES:`. The disk's
    /// device is called `root`.
    #[must_use]
    pub fn program_through(&self, filter: &str, path: &str, arguments: &[&str]) -> Program {
        Program {
            path: path.into(),
            arguments: arguments.iter().map(|&argument| argument.into()).collect(),
            smp: 2,
            extra: self.device(filter),
            ..Program::default()
        }
    }

    /// QEMU's arguments for the disk, at whose image it gets through `filter`.
    #[must_use]
    pub fn device(&self, filter: &str) -> Vec<OsString> {
        let drive = format!(
            "file={filter}{},if=none,id=image,format=raw,cache=unsafe",
            self.image().display()
        );
        let qemu = ["-drive", &drive, "-device", "virtio-scsi-pci,id=scsi"];
        let disk = ["-device", "scsi-hd,bus=scsi.0,drive=image,id=root"];
        qemu.into_iter().chain(disk).map(Into::into).collect()
    }

    /// QEMU's arguments for it as the second disk of a guest that has another one for its root.
    #[must_use]
    pub fn second(&self) -> Vec<OsString> {
        let drive = format!(
            "file={},if=none,id=second,format=raw,cache=unsafe",
            self.image().display()
        );
        let disk = ["-device", "scsi-hd,bus=scsi.0,drive=second"];
        let qemu = ["-drive", &drive];
        qemu.into_iter().chain(disk).map(Into::into).collect()
    }

    /// Runs a program of the disk's.
    #[must_use]
    #[track_caller]
    pub fn run(&self, path: &str, arguments: &[&str]) -> Ran {
        run(&self.program(path, arguments))
    }

    /// What a tool of e2fsprogs says of the image.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn ask(&self, program: &str, arguments: &[&str]) -> Output {
        let output = tool(program).args(arguments).arg(self.image()).output();
        output.expect("a tool of e2fsprogs")
    }

    /// The contents of a file of the image.
    #[must_use]
    pub fn contents(&self, path: &str) -> Vec<u8> {
        self.ask("debugfs", &["-R", &format!("cat {path}")]).stdout
    }

    /// The first sector of a block of a file, where blocks have 1 KB: in images below 512 MB.
    ///
    /// # Panics
    /// When it has no such block.
    #[must_use]
    pub fn sector_of(&self, path: &str, block: u64) -> u64 {
        let answer = self.ask("debugfs", &["-R", &format!("bmap {path} {block}")]);
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let found: u64 = text.trim().parse().expect("a block's number");
        assert!(found > 0, "{path} has no block {block}");
        found * 2
    }

    /// Fails unless `e2fsck` finds nothing.
    ///
    /// # Panics
    /// If it does.
    #[track_caller]
    pub fn check(&self) {
        let output = self.ask("e2fsck", &["-fn"]);
        assert!(output.status.success(), "{output:?}");
    }
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    command
}

/// What a program of the project's says here.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn on_linux(path: &str, arguments: &[&Path]) -> String {
    let files = userland::build().expect("the programs");
    let file = files.iter().find(|file| file.path == path);
    let file = file.expect("a program of the project's");
    let output = Command::new(&file.file).args(arguments).output();
    let output = output.expect("a program");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
