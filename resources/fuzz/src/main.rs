//! Fuzzes what reads programs, the root file system's archive, what disks say, packets, and what is
//! typed.
//!
//! Every input goes to all: each refuses what is not its own after a few bytes. Panics, overflows
//! and hangs are found by the fuzzer; what else must hold of every answer is asserted here. `cargo
//! xtask fuzz resources` builds and runs it.
#![no_main]

mod net;
mod storage;
mod terminal;

use libfuzzer_sys::fuzz_target;
use vortex_resources::executable::{LOWEST, PROGRAM_END, Plan, Script, interpreter};
use vortex_resources::files::{Tar, What};
use vortex_resources::machine::{Frame, PAGE_SIZE, USER_END};
use vortex_resources::object::{FrameStore, Object};
use vortex_toolkit::memory::Refusal;

fuzz_target!(|bytes: &[u8]| {
    plan(bytes);
    script(bytes);
    read_tar(bytes);
    read_tar(&sealed(bytes));
    storage::tables(bytes);
    storage::answers(bytes);
    net::flow(bytes);
    terminal::typed(bytes);
});

/// A file that is never mapped.
#[derive(Debug)]
struct File(Vec<u8>);

impl Object for File {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn number(&self) -> u64 {
        1
    }

    fn cached(&self, _page: u64) -> Option<Frame> {
        None
    }

    fn load(&self, _page: u64, _frames: &dyn FrameStore) -> Result<Frame, Refusal> {
        Err(Refusal::OutOfMemory)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.0.get(offset..).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        length
    }

    fn evict(&self, _page: u64) -> bool {
        false
    }
}

fn plan(bytes: &[u8]) {
    let file = File(bytes.to_vec());
    // The input's last bytes place the program.
    let random = bytes.last_chunk().copied().map_or(0, u64::from_le_bytes);
    if let Ok(Some(path)) = interpreter(&file) {
        assert!(!path.contains(&0) && path.len() < 4096);
    }
    let plan = match Plan::of(&file, random) {
        Ok(plan) => plan,
        Err(refused) => {
            assert!(!refused.to_string().chars().any(char::is_control));
            return;
        }
    };
    check(&plan, &file);
    // As its own interpreter it goes somewhere else, or nowhere.
    if let Ok(other) = plan.with_interpreter(&file, random) {
        check(&other, &file);
        let (one, other) = (span(&plan), span(&other));
        assert!(one.end <= other.start || other.end <= one.start, "apart");
    }
}

/// From a plan's first page to its last.
fn span(plan: &Plan) -> std::ops::Range<u64> {
    plan.segments.first().map_or(0, |first| first.start)..plan.heap
}

fn check(plan: &Plan, file: &File) {
    let mut end = LOWEST;
    for segment in &plan.segments {
        assert!(segment.start >= end, "in order, and apart");
        assert_eq!(segment.start % PAGE_SIZE, 0);
        assert!(segment.length > 0 && segment.length % PAGE_SIZE == 0);
        end = segment.start + segment.length;
        if let Some((offset, shown)) = segment.file {
            assert_eq!(offset % PAGE_SIZE, 0);
            assert!(offset + shown <= file.length() && shown <= segment.length);
        }
    }
    assert!(end <= PROGRAM_END && plan.heap == end && plan.entry < USER_END);
}

fn script(bytes: &[u8]) {
    let file = File(bytes.to_vec());
    if let Some(script) = Script::of(&file) {
        assert!(Script::is_one(&file));
        let argument = script.argument.iter().flatten();
        let all = script.interpreter.iter().chain(argument);
        assert!(all.clone().count() < 255 && !all.clone().any(|byte| matches!(byte, 0 | b'\n')));
        assert!(!script.interpreter.iter().any(|byte| matches!(byte, b' ' | b'\t')));
    }
}

fn read_tar(bytes: &[u8]) {
    let mut from = 0;
    for entry in Tar::new(bytes) {
        match entry {
            Ok(entry) => {
                assert!(
                    entry.offset >= from && entry.offset < bytes.len(),
                    "each after the last"
                );
                from = entry.offset + 512;
                if let What::File(content) = entry.what {
                    assert!(from + content.len() <= bytes.len());
                }
            }
            Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
        }
    }
}

/// The archive with its headers' checksums made right, so that damage reaches what is checked
/// after them.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for header in bytes
        .chunks_exact_mut(512)
        .filter(|block| block[257..262] == *b"ustar")
    {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}
