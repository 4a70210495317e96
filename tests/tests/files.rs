//! Files on a disk, by programs in the guest; e2fsprogs judge what is left on the image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use vortex_tests::programs::{Ran, run};
use xtask::program::Program;
use xtask::userland;

/// A disk with the project's programs on it, and so much room.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(mib: u32) -> Self {
        Self::with(mib, &[])
    }

    /// The same, with these files besides.
    fn with(mib: u32, files: &[(&str, &[u8])]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        for folder in ["dev", "proc", "etc", "tmp"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("etc/vortex.xml"), "").unwrap();
        for file in userland::build().unwrap() {
            let to = root.join(file.path.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&file.file, to).unwrap();
        }
        for (name, contents) in files {
            fs::write(root.join(name), contents).unwrap();
        }
        let disk = Self(place);
        let made = tool("mke2fs")
            .args([
                "-q",
                "-F",
                "-t",
                "ext2",
                "-E",
                "root_owner=0:0",
                "-N",
                "40000",
                "-d",
            ])
            .arg(&root)
            .arg(disk.image())
            .arg(format!("{mib}M"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        disk
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("image")
    }

    /// Runs a program of the disk's with the disk as the root file system.
    fn run(&self, path: &str, arguments: &[&str], extra: &[&str]) -> Ran {
        self.run_from(&self.image().display().to_string(), path, arguments, extra)
    }

    /// The same with something of QEMU's between the image and the guest.
    fn run_from(&self, file: &str, path: &str, arguments: &[&str], extra: &[&str]) -> Ran {
        let drive = format!("file={file},if=none,id=root,format=raw,cache=unsafe");
        let mut qemu = vec!["-drive", &drive, "-device", "virtio-scsi-pci,id=scsi"];
        qemu.extend(["-device", "scsi-hd,bus=scsi.0,drive=root"]);
        qemu.extend(extra);
        run(&Program {
            path: path.into(),
            arguments: arguments.iter().map(|&argument| argument.into()).collect(),
            smp: 2,
            extra: qemu.into_iter().map(Into::into).collect(),
            ..Program::default()
        })
    }

    /// What a tool of e2fsprogs says of the image.
    fn ask(&self, program: &str, arguments: &[&str]) -> Output {
        let output = tool(program).args(arguments).arg(self.image()).output();
        output.unwrap()
    }

    #[track_caller]
    fn check(&self) {
        let output = self.ask("e2fsck", &["-fn"]);
        assert!(output.status.success(), "{output:?}");
    }
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    command
}

/// What a program says on Linux.
fn on_linux(path: &str, arguments: &[&Path]) -> String {
    let files = userland::build().unwrap();
    let file = files.iter().find(|file| file.path == path).unwrap();
    let output = Command::new(&file.file).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_program_sees_of_files_what_it_sees_on_linux() {
    let disk = Disk::new(64);
    let ran = disk.run("/bin/filework", &["check", "/tmp"], &[]);
    ran.expect_status(0);
    let folder = tempfile::tempdir().unwrap();
    let linux = on_linux("/bin/filework", &[Path::new("check"), folder.path()]);
    assert_eq!(ran.text(), linux);
    disk.check();
}

#[test]
fn a_tree_is_made_copied_renamed_and_deleted() {
    let disk = Disk::new(64);
    let ran = disk.run("/bin/filework", &["tree", "/tmp", "500"], &[]);
    ran.expect_status(0);
    assert!(
        ran.text().ends_with("the copies are as they were\n"),
        "{}",
        ran.text()
    );
    disk.check();
    let listed = disk.ask("debugfs", &["-R", "ls /tmp"]).stdout;
    let listed = String::from_utf8(listed).unwrap();
    assert!(
        listed.contains("renamed") && !listed.contains("first"),
        "{listed}"
    );
}

/// The real thing: `cargo test -p vortex-tests --release --test files -- --ignored`, some minutes.
#[test]
#[ignore = "takes minutes under emulation"]
fn a_tree_of_ten_thousand_files() {
    let disk = Disk::new(256);
    let ran = disk.run("/bin/filework", &["tree", "/tmp", "10000"], &[]);
    ran.expect_status(0);
    assert!(
        ran.text().ends_with("the copies are as they were\n"),
        "{}",
        ran.text()
    );
    disk.check();
}

#[test]
fn what_a_disk_cannot_read_is_told_to_who_asked_alone() {
    let contents: Vec<u8> = (0..1 << 20_u32).map(|at| (at / 3) as u8).collect();
    let disk = Disk::with(64, &[("bad", &contents), ("good", &contents)]);
    // In the midst of the one file.
    let blocks = disk.ask("debugfs", &["-R", "blocks /bad"]).stdout;
    let blocks = String::from_utf8(blocks).unwrap();
    let blocks: Vec<u64> = blocks
        .split_whitespace()
        .map(|one| one.parse().unwrap())
        .collect();
    let header = String::from_utf8(disk.ask("dumpe2fs", &["-h"]).stdout).unwrap();
    let size = header
        .lines()
        .find_map(|line| line.strip_prefix("Block size:"));
    let size: u64 = size.unwrap().trim().parse().unwrap();
    let sector = blocks[blocks.len() / 2] * (size / 512);
    let rules = disk.0.path().join("rules");
    let rule = format!(
        "[inject-error]\nevent = \"none\"\nerrno = \"5\"\nsector = \"{sector}\"\nonce = \"off\"\n"
    );
    fs::write(&rules, rule).unwrap();
    let file = format!("blkdebug:{}:{}", rules.display(), disk.image().display());
    let ran = disk.run_from(&file, "/bin/filework", &["fail", "/bad", "/good"], &[]);
    ran.expect_status(0);
    let good = disk.0.path().join("root/good");
    let sum = on_linux("/bin/filework", &[Path::new("sum"), &good]);
    assert_eq!(ran.text(), "bad: Some(5)\n".repeat(8) + "good: " + &sum);
    disk.check();
}
