//! A second disk, mounted over a directory of the first.

use super::disk::{Judge, MEMORY, Script, image, on_disk};
use super::*;
use crate::fake::script::Bench;
use crate::process::Rights;
use crate::storage::RamVolume;

const EXDEV: i64 = -18;
const EBUSY: i64 = -16;
const EINVAL: i64 = -22;
const ENOENT: i64 = -2;
const EROFS: i64 = -30;

/// A system with a file system on each of two disks: on the second there are `/file` and `/sub/deep`.
fn with_two() -> (Bench, Arc<RamVolume>, Arc<RamVolume>) {
    let (bench, first) = on_disk(1024, 8192, |folder| {
        std::fs::create_dir(folder.join("mnt")).unwrap();
        std::fs::write(folder.join("mnt/hidden"), "below").unwrap();
        std::fs::write(folder.join("own"), "first").unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("file"), "second").unwrap();
    std::fs::write(folder.path().join("sub/deep"), "deeper").unwrap();
    let image = image(1024, 4096, folder.path());
    let second = bench.shared.storage.add_ram("ram1", image);
    (bench, first, second)
}

impl Script {
    fn mount(&mut self, source: &str, target: &str, kind: &str, flags: u32) -> usize {
        let [source, target, kind] = [source, target, kind].map(|path| self.path(path));
        self.call(linux::__NR_mount, &[source, target, kind, flags.into(), 0])
    }

    fn unmount(&mut self, target: &str) -> usize {
        let target = self.path(target);
        self.call(linux::__NR_umount2, &[target, 0])
    }

    fn rename(&mut self, old: &str, new: &str) -> usize {
        let (old, new) = (self.path(old), self.path(new));
        self.call(linux::__NR_rename, &[old, new])
    }

    fn one_path(&mut self, number: u32, path: &str) -> usize {
        let path = self.path(path);
        self.call(number, &[path, 0o755])
    }
}

#[test]
fn paths_lead_into_what_is_mounted_and_out_of_it() {
    let (mut bench, first, second) = with_two();
    let mut script = Script::new();
    let mut expected: Vec<(usize, i64)> = Vec::new();
    let mut expect = |result: i64, call: usize| expected.push((call, result));
    expect(0, script.mount("/dev/ram1", "/mnt", "ext2", 0));
    expect(3, script.open("/mnt/sub/../sub/deep", linux::O_RDONLY));
    expect(6, script.call(linux::__NR_read, &[3, MEMORY, 100]));
    expect(0, script.call(linux::__NR_close, &[3]));
    expect(ENOENT, script.open("/mnt/hidden", linux::O_RDONLY));
    expect(3, script.open("/mnt/sub/../../own", linux::O_RDONLY));
    // Out of it, and in again; where that is.
    expect(0, script.one_path(linux::__NR_chdir, "/mnt/sub"));
    expect(9, script.call(linux::__NR_getcwd, &[MEMORY, 100]));
    expect(4, script.open("../../mnt/file", linux::O_RDONLY));
    expect(0, script.call(linux::__NR_fstat, &[3, MEMORY + 0x1000]));
    expect(0, script.call(linux::__NR_fstat, &[4, MEMORY + 0x2000]));
    script.load(MEMORY + 0x1000, 0x1008);
    // One name is of one disk.
    expect(EXDEV, script.rename("/own", "/mnt/own"));
    let (old, new) = (script.path("/own"), script.path("/mnt/own"));
    expect(EXDEV, script.call(linux::__NR_link, &[old, new]));
    expect(EBUSY, script.rename("/mnt", "/other"));
    expect(EBUSY, script.one_path(linux::__NR_rmdir, "/mnt"));
    expect(0, script.rename("/mnt/file", "/mnt/sub/moved"));
    expect(5, script.open("/mnt/new", linux::O_RDWR | linux::O_CREAT));
    script.store(MEMORY, b"written");
    expect(7, script.call(linux::__NR_write, &[5, MEMORY, 7]));
    let results = script.run(&mut bench);
    for (call, result) in expected {
        assert_eq!(results[call], result, "call {call} of {results:?}");
    }
    let loaded = bench.loaded();
    let device = |at: usize| u64::from_le_bytes(*loaded[at..].first_chunk().unwrap());
    assert_ne!(device(0), device(0x1000), "st_dev");
    // What was written is on its own disk.
    let (first, second) = (Judge::new(&first), Judge::new(&second));
    assert_eq!(second.contents("/new"), b"written");
    assert_eq!(second.contents("/sub/moved"), b"second");
    assert_eq!(first.contents("/own"), b"first");
}

#[test]
fn what_is_used_stays_mounted() {
    let (mut bench, _, second) = with_two();
    let mut script = Script::new();
    let mut expected: Vec<(usize, i64)> = Vec::new();
    let mut expect = |result: i64, call: usize| expected.push((call, result));
    expect(EINVAL, script.unmount("/mnt"));
    expect(0, script.mount("/dev/ram1", "/mnt", "ext2", 0));
    // An open file, a current directory, a mapping.
    expect(3, script.open("/mnt/new", linux::O_RDWR | linux::O_CREAT));
    expect(EBUSY, script.unmount("/mnt"));
    script.store(MEMORY, b"written");
    expect(7, script.call(linux::__NR_write, &[3, MEMORY, 7]));
    expect(0, script.call(linux::__NR_close, &[3]));
    expect(0, script.one_path(linux::__NR_chdir, "/mnt/sub"));
    expect(EBUSY, script.unmount("/mnt"));
    expect(0, script.one_path(linux::__NR_chdir, "/"));
    expect(EINVAL, script.unmount("/mnt/sub"));
    expect(0, script.unmount("/mnt"));
    expect(ENOENT, script.open("/mnt/new", linux::O_RDONLY));
    expect(3, script.open("/mnt/hidden", linux::O_RDONLY));
    // Again, to be read only.
    expect(
        0,
        script.mount("/dev/ram1", "/mnt", "ext2", linux::MS_RDONLY),
    );
    expect(4, script.open("/mnt/new", linux::O_RDONLY));
    expect(7, script.call(linux::__NR_read, &[4, MEMORY, 100]));
    expect(EROFS, script.open("/mnt/new", linux::O_RDWR));
    expect(EROFS, script.one_path(linux::__NR_mkdir, "/mnt/folder"));
    expect(EROFS, script.one_path(linux::__NR_unlink, "/mnt/new"));
    expect(0, script.call(linux::__NR_close, &[4]));
    expect(0, script.unmount("/mnt"));
    let results = script.run(&mut bench);
    for (call, result) in expected {
        assert_eq!(results[call], result, "call {call} of {results:?}");
    }
    assert_eq!(Judge::new(&second).contents("/new"), b"written");
}

#[test]
fn what_cannot_be_mounted_is_refused_as_on_linux() {
    let (mut bench, ..) = with_two();
    bench.shared.storage.add_ram("ram2", vec![0; 1 << 20]);
    let mut script = Script::new();
    let expected: Vec<(usize, i64)> = vec![
        (script.mount("/dev/ram9", "/mnt", "ext2", 0), ENOENT),
        (script.mount("/own", "/mnt", "ext2", 0), -15),
        (script.mount("/dev/ram1", "/mnt", "ext5", 0), -19),
        (script.mount("/dev/ram1", "/none", "ext2", 0), ENOENT),
        (script.mount("/dev/ram1", "/own", "ext2", 0), -20),
        (script.mount("/dev/ram1", "/", "ext2", 0), EBUSY),
        (script.mount("/dev/ram0", "/mnt", "ext2", 0), EBUSY),
        (script.mount("/dev/ram2", "/mnt", "ext2", 0), EINVAL),
        (
            script.mount("/dev/ram1", "/mnt", "ext2", linux::MS_REMOUNT),
            EINVAL,
        ),
        (script.unmount("/"), EINVAL),
        (script.unmount("/none"), ENOENT),
    ];
    let results = script.run(&mut bench);
    for (call, result) in expected {
        assert_eq!(results[call], result, "call {call} of {results:?}");
    }
    let mut script = Script::new();
    let mounted = script.mount("/dev/ram1", "/mnt", "ext2", 0);
    let unmounted = script.unmount("/mnt");
    bench.allow(Rights::empty());
    let results = script.run(&mut bench);
    assert_eq!([results[mounted], results[unmounted]], [-1, -1]);
}
