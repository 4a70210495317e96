use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use linux_raw_sys::general as linux;
use linux_raw_sys::ioctl;
use proptest::prelude::*;

use super::*;
use crate::machine::Frame;
use crate::net::Environment;
use crate::object::{FrameStore, References, page_of};
use vortex_toolkit::memory::Refusal;

/// Counts references in a map, and hands out frames by number.
#[derive(Default)]
struct Counts(spin::Mutex<alloc::collections::BTreeMap<u32, u32>>);

impl References for Counts {
    fn share(&self, frame: Frame) {
        *self
            .0
            .lock()
            .get_mut(&frame.0)
            .expect("a frame that is in use") += 1;
    }

    fn count(&self, frame: Frame) -> u32 {
        self.0.lock().get(&frame.0).copied().unwrap_or(0)
    }

    fn release(&self, frame: Frame) {
        let mut counts = self.0.lock();
        let count = counts.get_mut(&frame.0).expect("a frame that is in use");
        *count -= 1;
        if *count == 0 {
            counts.remove(&frame.0);
        }
    }
}

/// A program's memory: one range of bytes; around it there is nothing.
struct Memory {
    start: u64,
    bytes: RefCell<Vec<u8>>,
    /// Is brought in only at the second try.
    absent: RefCell<Option<u64>>,
}

impl Memory {
    fn range(&self, address: u64, length: usize, write: bool) -> Result<usize, UserError> {
        if length == 0 {
            return Ok(0);
        }
        let absent = *self.absent.borrow();
        if let Some(at) = absent.filter(|at| (address..address + length as u64).contains(at)) {
            *self.absent.borrow_mut() = None;
            return Err(UserError::Absent(at, write));
        }
        let offset = address.checked_sub(self.start).ok_or(UserError::Bad)? as usize;
        let end = offset.checked_add(length).ok_or(UserError::Bad)?;
        if end > self.bytes.borrow().len() {
            Err(UserError::Bad)
        } else {
            Ok(offset)
        }
    }
}

impl UserMemory for Memory {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), UserError> {
        let at = self.range(address, into.len(), false)?;
        into.copy_from_slice(&self.bytes.borrow()[at..at + into.len()]);
        Ok(())
    }

    fn write(&self, address: u64, from: &[u8]) -> Result<(), UserError> {
        let at = self.range(address, from.len(), true)?;
        self.bytes.borrow_mut()[at..at + from.len()].copy_from_slice(from);
        Ok(())
    }

    fn read_to(
        &self,
        address: u64,
        (frame, offset): (Frame, usize),
        length: usize,
        environment: &dyn Environment,
    ) -> Result<(), UserError> {
        let at = self.range(address, length, false)?;
        environment.write(frame, offset, &self.bytes.borrow()[at..at + length]);
        Ok(())
    }

    fn write_from(
        &self,
        address: u64,
        (frame, offset): (Frame, usize),
        length: usize,
        environment: &dyn Environment,
    ) -> Result<(), UserError> {
        let at = self.range(address, length, true)?;
        environment.read(frame, offset, &mut self.bytes.borrow_mut()[at..at + length]);
        Ok(())
    }

    fn read_string(&self, address: u64, limit: usize) -> Result<Option<Vec<u8>>, UserError> {
        let mut string = Vec::new();
        for offset in 0..=limit as u64 {
            let mut byte = [0];
            self.read(address + offset, &mut byte)?;
            if byte == [0] {
                return Ok(Some(string));
            }
            string.push(byte[0]);
        }
        Ok(None)
    }
}

/// What was written to the console, by call.
#[derive(Default)]
struct Console {
    written: RefCell<Vec<Vec<u8>>>,
    typed: RefCell<Vec<u8>>,
}

impl Devices for Console {
    fn write_console(&self, bytes: &[u8]) {
        self.written.borrow_mut().push(bytes.to_vec());
    }

    fn read_console(&self, into: &mut [u8]) -> usize {
        let mut typed = self.typed.borrow_mut();
        let length = typed.len().min(into.len());
        into[..length].copy_from_slice(&typed[..length]);
        typed.drain(..length);
        length
    }

    fn random(&self, into: &mut [u8]) {
        into.fill(0xa5);
    }
}

/// An entry of a tar in ustar format.
fn header(path: &str, flag: u8, link: &str, content: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..path.len()].copy_from_slice(path.as_bytes());
    let fields: [(usize, usize, u64); 5] = [
        (100, 8, 0o751),
        (108, 8, 7),
        (116, 8, 8),
        (124, 12, content.len() as u64),
        (136, 12, 1_700_000_000),
    ];
    for (at, width, value) in fields {
        let text = format!("{value:0width$o}", width = width - 1);
        block[at..at + width - 1].copy_from_slice(text.as_bytes());
    }
    block[156] = flag;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend_from_slice(content);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn tar(entries: &[Vec<u8>]) -> &'static [u8] {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    Box::leak(bytes.into_boxed_slice())
}

fn archive(entries: &[Vec<u8>]) -> (Archive, Vec<Problem>) {
    let references: Arc<dyn References> = Arc::<Counts>::default();
    Archive::new(tar(entries), &[("/etc/vortex.xml", b"<xml/>")], &references)
}

fn sample() -> Vec<Vec<u8>> {
    vec![
        header("./", b'5', "", b""),
        header("./bin/", b'5', "", b""),
        header("./bin/tool", b'0', "", b"#!tool"),
        header("./bin/same", b'1', "bin/tool", b""),
        header("./data", b'0', "", b"0123456789"),
        header("./lib", b'2', "bin", b""),
        header("./up/and/down", b'2', "/lib/../data", b""),
        header("./loop", b'2', "loop", b""),
        header("./nothing", b'2', "missing", b""),
        header("./slash", b'2', "data/", b""),
    ]
}

fn find(archive: &Archive, path: &str) -> Result<NodeId, Errno> {
    find_by(archive, path.as_bytes(), Follow::Always)
}

fn find_by(archive: &Archive, path: &[u8], follow: Follow) -> Result<NodeId, Errno> {
    let names = Names {
        archive,
        disk: None,
        procfs: None,
    };
    match names.walk(&NodeId::ROOT.into(), path, follow, b"/bin/tool") {
        Ok(found) => match found.node()? {
            Node::Archive(id) => Ok(id),
            Node::Disk(_) | Node::Process(_) => panic!("there is no disk"),
        },
        Err(Lost::Error(error)) => Err(error),
        Err(Lost::Absent(_)) => panic!("there is no disk"),
    }
}

fn content(archive: &Archive, path: &str) -> Option<&'static [u8]> {
    match &archive.node(find(archive, path).ok()?).kind {
        Kind::File(file) => Some(file.content()),
        _ => None,
    }
}

#[test]
fn paths_lead_where_they_should() {
    let (archive, problems) = archive(&sample());
    assert_eq!(problems, []);
    for path in [
        "/data",
        "data",
        "./data",
        "//data",
        "/../data",
        "bin/../data",
        "/up/and/down",
    ] {
        assert_eq!(content(&archive, path), Some(&b"0123456789"[..]), "{path}");
    }
    for path in [
        "bin/tool",
        "lib/tool",
        "bin/same",
        "lib/./same",
        "/proc/self/exe",
    ] {
        assert_eq!(content(&archive, path), Some(&b"#!tool"[..]), "{path}");
    }
    assert_eq!(content(&archive, "etc/vortex.xml"), Some(&b"<xml/>"[..]));
    assert_eq!(find(&archive, "bin/tool"), find(&archive, "bin/same"));
    assert_eq!(archive.node(find(&archive, "bin/tool").unwrap()).links, 2);
    assert_eq!(find(&archive, "/"), Ok(NodeId::ROOT));
    assert_eq!(find(&archive, "lib/"), find(&archive, "bin"));
    let long = "a".repeat(256);
    let longer = "a/".repeat(2048);
    let wrong = [
        ("", Errno::ENOENT),
        ("missing", Errno::ENOENT),
        ("missing/", Errno::ENOENT),
        ("missing/more", Errno::ENOENT),
        ("nothing", Errno::ENOENT),
        ("data/", Errno::ENOTDIR),
        ("data/more", Errno::ENOTDIR),
        ("data/.", Errno::ENOTDIR),
        ("data/..", Errno::ENOTDIR),
        ("slash", Errno::ENOTDIR),
        ("loop", Errno::ELOOP),
        ("loop/more", Errno::ELOOP),
        (&long, Errno::ENAMETOOLONG),
        (&longer, Errno::ENAMETOOLONG),
    ];
    for (path, error) in wrong {
        assert_eq!(find(&archive, path), Err(error), "{path}");
    }
    let unfollowed = find_by(&archive, b"loop", Follow::NotLast).unwrap();
    assert!(matches!(archive.node(unfollowed).kind, Kind::Link(b"loop")));
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let mut entries = vec![header("l0", b'0', "", b"end")];
    for number in 1..=41 {
        let (name, target) = (format!("l{number}"), format!("l{}", number - 1));
        entries.push(header(&name, b'2', &target, b""));
    }
    let (archive, _) = archive(&entries);
    assert_eq!(content(&archive, "l40"), Some(&b"end"[..]));
    assert_eq!(find(&archive, "l41"), Err(Errno::ELOOP));
}

#[test]
fn attributes_are_those_of_the_tar() {
    let (archive, _) = archive(&sample());
    let node = archive.node(find(&archive, "data").unwrap());
    assert_eq!(
        (node.mode, node.owner, node.group, node.changed),
        (0o751, 7, 8, 1_700_000_000)
    );
    let down = find(&archive, "up/and").unwrap();
    assert_eq!(archive.path(down), b"/up/and");
    assert_eq!(archive.path(NodeId::ROOT), b"/");
}

#[test]
fn the_later_entry_counts_but_no_directory_is_replaced() {
    let entries = [
        header("a", b'0', "", b"old"),
        header("a", b'0', "", b"new"),
        header("d/x", b'0', "", b"x"),
        header("d", b'0', "", b"no"),
        header("a/b", b'0', "", b"no"),
        header("../e", b'0', "", b"no"),
        header("h", b'1', "nowhere", b""),
        header("f", b'6', "", b""),
    ];
    let at = |index: usize| entries[..index].iter().map(Vec::len).sum();
    let (archive, problems) = archive(&entries);
    assert_eq!(content(&archive, "a"), Some(&b"new"[..]));
    assert_eq!(content(&archive, "d/x"), Some(&b"x"[..]));
    let expected = [
        Problem::Place(at(3)),
        Problem::Place(at(4)),
        Problem::Name(at(5)),
        Problem::HardLink(at(6)),
        Problem::Kind(at(7), b'6'),
    ];
    assert_eq!(problems, expected);
}

#[test]
fn a_damaged_tar_is_read_as_far_as_it_goes() {
    let entries = [header("a", b'0', "", b"1"), header("b", b'0', "", b"2")];
    let whole = tar(&entries);
    let references: Arc<dyn References> = Arc::<Counts>::default();
    let read = |bytes: &'static [u8]| Archive::new(bytes, &[], &references);
    let mut damaged = whole.to_vec();
    damaged[1024 + 3] = b'x';
    let (archive, problems) = read(Box::leak(damaged.into_boxed_slice()));
    assert_eq!(problems, [Problem::Damaged(TarError::Checksum(1024))]);
    assert_eq!(content(&archive, "a"), Some(&b"1"[..]));
    assert_eq!(find(&archive, "b"), Err(Errno::ENOENT));
    let (archive, problems) = read(&whole[..1536]);
    assert_eq!(problems, [Problem::Damaged(TarError::BeyondEnd(1024))]);
    assert_eq!(content(&archive, "a"), Some(&b"1"[..]));
    let (archive, problems) = read(&whole[..2048]);
    assert_eq!(problems, [Problem::Damaged(TarError::NoEnd(2048))]);
    assert_eq!(content(&archive, "b"), Some(&b"2"[..]));
    let (archive, problems) = read(b"");
    assert_eq!(problems, [Problem::Damaged(TarError::NoEnd(0))]);
    assert!(find(&archive, "/dev/null").is_ok());
}

#[test]
fn long_names_of_pax_and_gnu_are_read() {
    let long = ["x".repeat(200), "y".repeat(200)].join("/");
    let record = |key: &str, value: &str| {
        let rest = key.len() + value.len() + 3;
        let length = rest + format!("{}", rest + 3).len();
        format!("{length} {key}={value}\n")
    };
    let pax = record("path", &long) + &record("mtime", "123.5");
    let entries = [
        header("pax", b'x', "", pax.as_bytes()),
        header("short", b'0', "", b"pax"),
        header("gnu", b'L', "", format!("{long}z\0").as_bytes()),
        header("gnu", b'K', "", format!("{long}\0").as_bytes()),
        header("short", b'2', "short", b""),
    ];
    let (archive, problems) = archive(&entries);
    assert_eq!(problems, []);
    assert_eq!(content(&archive, &long), Some(&b"pax"[..]));
    assert_eq!(archive.node(find(&archive, &long).unwrap()).changed, 123);
    let link = find_by(&archive, format!("{long}z").as_bytes(), Follow::NotLast).unwrap();
    assert!(matches!(&archive.node(link).kind, Kind::Link(to) if *to == long.as_bytes()));
}

#[test]
fn pages_are_loaded_once_shared_and_given_back_when_nobody_has_them() {
    struct Store<'a>(&'a Counts, RefCell<Vec<(u64, Vec<u8>)>>);
    impl FrameStore for Store<'_> {
        fn allocate(&self, cookie: u64) -> Result<Frame, Refusal> {
            let mut made = self.1.borrow_mut();
            if made.len() == 2 {
                return Err(Refusal::OverBudget);
            }
            let frame = Frame(made.len() as u32);
            made.push((cookie, Vec::new()));
            self.0.0.lock().insert(frame.0, 1);
            Ok(frame)
        }

        fn fill(&self, frame: Frame, bytes: &[u8]) {
            self.1.borrow_mut()[frame.0 as usize].1 = bytes.to_vec();
        }
    }

    let counts = Arc::<Counts>::default();
    let references: Arc<dyn References> = counts.clone();
    let data: Vec<u8> = (0..9000_u32).map(|number| number as u8).collect();
    let (archive, _) = Archive::new(tar(&[header("f", b'0', "", &data)]), &[], &references);
    let number = find(&archive, "f").unwrap().inode() - 1;
    let file = archive.object(number).expect("a file");
    assert_eq!((file.number(), file.length()), (number, 9000));
    assert!(archive.object(0).is_none() && archive.object(1 << 40).is_none());
    let store = Store(&counts, RefCell::default());
    assert_eq!(file.cached(2), None);
    let frame = file.load(2, &store).unwrap();
    assert_eq!(counts.count(frame), 2, "the cache's and ours");
    assert_eq!(store.1.borrow()[0].1, data[8192..]);
    assert_eq!(page_of(store.1.borrow()[0].0), (number, 2));
    assert_eq!(file.cached(2), Some(frame));
    assert_eq!(file.load(2, &store), Ok(frame));
    assert_eq!(counts.count(frame), 4);
    assert!(!file.evict(2), "it is in use");
    (0..3).for_each(|_| counts.release(frame));
    assert!(file.evict(2));
    assert!(!file.evict(2));
    assert_eq!(counts.count(frame), 0);
    assert_eq!(file.load(0, &store), Ok(Frame(1)));
    assert_eq!(file.load(1, &store), Err(Refusal::OverBudget));
    let mut bytes = [0; 10];
    assert_eq!(file.read(8995, &mut bytes), 5);
    assert_eq!(bytes[..5], data[8995..]);
}

mod calls;
mod disk;
mod mounts;
mod waiting;

proptest! {
    #[test]
    fn no_tar_makes_a_bad_tree(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        path in "[a-z./]{0,40}",
    ) {
        let mut bytes = tar(&sample()).to_vec();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
            // Repair checksums, so that damage reaches further than them.
            for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        bytes.truncate(cut.index(bytes.len() * 2).min(bytes.len()));
        let references: Arc<dyn References> = Arc::<Counts>::default();
        let (archive, _) = Archive::new(Box::leak(bytes.into_boxed_slice()), &[], &references);
        let mut seen = vec![NodeId::ROOT];
        while let Some(id) = seen.pop() {
            let Some(directory) = archive.directory(id) else { continue };
            for &(name, child) in directory.entries() {
                prop_assert_eq!(directory.entry(name), Some(child));
                prop_assert!(!name.is_empty() && name != b"." && name != b".." && name.len() <= MAX_NAME);
                if let Some(inner) = archive.directory(child) {
                    prop_assert_eq!(inner.parent(), id);
                    seen.push(child);
                }
            }
            let found = find_by(&archive, &archive.path(id), Follow::Always);
            prop_assert_eq!(found, Ok(id));
        }
        let _ = find(&archive, &path);
    }
}
