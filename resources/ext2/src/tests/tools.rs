//! `mke2fs`, `e2fsck` and `debugfs`, the judges.

use std::format;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::string::{String, ToString};
use std::vec::Vec;

use crate::Timestamp;

/// A time after 2023.
pub(super) fn time(seconds: i64) -> Timestamp {
    Timestamp {
        seconds: 1_700_000_000 + seconds,
        nanoseconds: 0,
    }
}

/// The shape of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) block_size: u32,
    pub(super) blocks: u32,
    /// More arguments of `mke2fs`.
    pub(super) arguments: &'static str,
}

/// Every block size, with what else may differ.
pub(super) const SHAPES: &[Shape] = &[
    shape(1024, 8192, ""),
    shape(2048, 4096, "-I 128"),
    shape(4096, 4096, "-I 512 -O ^filetype"),
    shape(1024, 6000, "-r 0 -O none"),
    shape(
        1024,
        12000,
        "-g 1024 -N 1500 -O sparse_super2,^resize_inode",
    ),
    shape(
        1024,
        9000,
        "-g 512 -N 640 -O ^sparse_super,^resize_inode,^dir_index,^ext_attr",
    ),
    shape(1024, 9000, "-g 512 -N 640 -O meta_bg,^resize_inode"),
];

const fn shape(block_size: u32, blocks: u32, arguments: &'static str) -> Shape {
    Shape {
        block_size,
        blocks,
        arguments,
    }
}

/// A folder that is removed at the end, with a file for an image.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        // The tools wait for the disk that the images are on: memory, where there is such a folder.
        let memory = tempfile::tempdir_in("/dev/shm");
        Self(memory.or_else(|_| tempfile::tempdir()).unwrap())
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// An image, with the contents of a folder.
    pub(super) fn make(&self, shape: Shape, from: Option<&Path>) -> Vec<u8> {
        let image = self.file("made");
        let _ = fs::remove_file(&image);
        let mut command = tool("mke2fs");
        // A fixed identifier, so that the same image is made every time.
        command.args([
            "-q",
            "-F",
            "-t",
            "ext2",
            "-U",
            "01234567-89ab-cdef-0123-456789abcdef",
        ]);
        command.env("E2FSPROGS_FAKE_TIME", "1600000000");
        command.args(["-b", &shape.block_size.to_string(), "-E", "root_owner=0:0"]);
        command.args(shape.arguments.split_whitespace());
        if let Some(from) = from {
            command.arg("-d").arg(from);
        }
        command.arg(&image).arg(shape.blocks.to_string());
        let output = command.output().unwrap();
        assert!(output.status.success(), "mke2fs: {}", text(&output));
        fs::read(image).unwrap()
    }

    /// What `e2fsck` finds in an image that should be sound: nothing.
    pub(super) fn check(&self, image: &[u8]) {
        let file = self.file("checked");
        fs::write(&file, image).unwrap();
        let output = tool("e2fsck").arg("-fn").arg(&file).output().unwrap();
        assert!(output.status.success(), "e2fsck -fn: {}", text(&output));
        let text = text(&output);
        assert!(!text.contains("not cleanly"), "{text}");
    }

    /// What `e2fsck` makes of an image after a power cut, unasked (`-p`) or whatever it takes (`-y`),
    /// and what it says. An error is what it says when it cannot repair it.
    pub(super) fn repair(&self, image: &[u8], how: &str) -> Result<(Vec<u8>, String), String> {
        let file = self.file("repaired");
        fs::write(&file, image).unwrap();
        let output = tool("e2fsck")
            .args(["-f", how])
            .arg(&file)
            .output()
            .unwrap();
        let text = text(&output);
        match output.status.code() {
            Some(0 | 1) => Ok((fs::read(file).unwrap(), text)),
            code => Err(format!("e2fsck -f {how} ends with {code:?}: {text}")),
        }
    }

    /// Gives the directories of an image their indexes.
    pub(super) fn index(&self, image: &[u8]) -> Vec<u8> {
        let file = self.file("indexed");
        fs::write(&file, image).unwrap();
        let output = tool("e2fsck").arg("-fyD").arg(&file).output().unwrap();
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "e2fsck -D: {}",
            text(&output)
        );
        fs::read(file).unwrap()
    }

    /// What `debugfs` answers to a request about an image.
    pub(super) fn ask(&self, image: &[u8], request: &str) -> Vec<u8> {
        let file = self.file("asked");
        fs::write(&file, image).unwrap();
        let output = tool("debugfs")
            .args(["-R", request])
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "debugfs: {}", text(&output));
        output.stdout
    }

    /// Carries out requests of `debugfs` that write.
    pub(super) fn change(&self, image: &[u8], requests: &[&str]) -> Vec<u8> {
        let file = self.file("changed");
        fs::write(&file, image).unwrap();
        for request in requests {
            let output = tool("debugfs")
                .args(["-w", "-R", request])
                .arg(&file)
                .output()
                .unwrap();
            assert!(output.status.success(), "debugfs: {}", text(&output));
        }
        fs::read(file).unwrap()
    }
}

/// Where they are for users without administrators' paths too.
fn tool(name: &str) -> Command {
    let paths =
        ["/sbin", "/usr/sbin", "/bin", "/usr/bin"].map(|folder| Path::new(folder).join(name));
    let path = paths.into_iter().find(|path| path.is_file());
    Command::new(path.unwrap_or_else(|| name.into()))
}

fn text(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(error)
    )
}
