//! What is on a program's stack when it begins: arguments, environment, auxiliary vector.
//!
//! Key types: [`Contents`]. Layout: System V ABI, x86-64 supplement, 3.4.1 "Initial Stack and
//! Register State"; order of the strings and limits as on Linux.

use alloc::vec::Vec;

use linux_raw_sys::auxvec::{
    AT_BASE, AT_CLKTCK, AT_EGID, AT_ENTRY, AT_EUID, AT_EXECFN, AT_FLAGS, AT_GID, AT_HWCAP,
    AT_HWCAP2, AT_MINSIGSTKSZ, AT_NULL, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PLATFORM,
    AT_RANDOM, AT_SECURE, AT_UID,
};

use super::{Arguments, Plan, Processor};
use crate::errno::Errno;
use crate::machine::PAGE_SIZE;

/// The longest argument or variable, with its end mark, in bytes (`MAX_ARG_STRLEN`).
pub const MAX_ARGUMENT: usize = 128 << 10;
/// The most that all of them may take, with their pointers, in bytes: a quarter of the stack.
pub const MAX_ARGUMENTS: usize = 2 << 20;
/// What `AT_PLATFORM` says.
const PLATFORM: &[u8] = b"x86_64";
/// Ticks in a second in what `times` returns (`USER_HZ`).
const TICKS: u64 = 100;
/// The stack pointer's alignment.
const ALIGNMENT: u64 = 16;

/// A program's stack at its start.
pub(super) struct Contents {
    /// The stack pointer.
    pub(super) pointer: u64,
    /// What is from there to the top.
    pub(super) bytes: Vec<u8>,
}

/// Strings on the stack.
struct Strings {
    bytes: Vec<u8>,
    /// Where they will be.
    start: u64,
}

impl Strings {
    /// Adds a string with its end mark; where it will be.
    fn add(&mut self, string: &[u8]) -> u64 {
        let at = self.start + self.bytes.len() as u64;
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        at
    }
}

/// What is on the stack that ends at `top`, an address that is a multiple of 16, of a program whose
/// interpreter is moved by so much (`AT_BASE`). `random` is for `AT_RANDOM`.
///
/// # Errors
/// E2BIG if arguments and environment are too large.
pub(super) fn contents(
    (plan, base): (&Plan, u64),
    arguments: &Arguments,
    processor: Processor,
    random: [u8; 16],
    top: u64,
) -> Result<Contents, Errno> {
    // As on Linux since 5.18: a program finds its argv[0], whoever starts it.
    let unnamed = [Vec::new()];
    let argv = match &arguments.arguments[..] {
        [] => &unnamed[..],
        given => given,
    };
    let all = || {
        argv.iter()
            .chain(&arguments.environment)
            .chain([&arguments.path])
    };
    let size: usize = all().map(|string| string.len() + 1).sum();
    let pointers = (argv.len() + arguments.environment.len()) * size_of::<u64>();
    let too_long = all().any(|string| string.len() >= MAX_ARGUMENT);
    if too_long || size.saturating_add(pointers) > MAX_ARGUMENTS {
        return Err(Errno::E2BIG);
    }
    // The last word is 0; below it are the strings.
    let size = size + PLATFORM.len() + 1 + random.len();
    let start = (top - size_of::<u64>() as u64 - size as u64) / ALIGNMENT * ALIGNMENT;
    let mut strings = Strings {
        bytes: random.to_vec(),
        start,
    };
    let platform = strings.add(PLATFORM);
    let mut words: Vec<u64> = alloc::vec![argv.len() as u64];
    words.extend(argv.iter().map(|argument| strings.add(argument)));
    words.push(0);
    words.extend(
        arguments
            .environment
            .iter()
            .map(|variable| strings.add(variable)),
    );
    words.push(0);
    let path = strings.add(&arguments.path);
    words.extend(auxiliary((plan, base), processor, [start, platform, path]).as_flattened());
    let pointer = (start - (words.len() * size_of::<u64>()) as u64) / ALIGNMENT * ALIGNMENT;
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize((start - pointer) as usize, 0);
    bytes.extend_from_slice(&strings.bytes);
    bytes.resize((top - pointer) as usize, 0);
    Ok(Contents { pointer, bytes })
}

/// The auxiliary vector; `at` is where the random bytes, the platform's name and the path are.
fn auxiliary((plan, base): (&Plan, u64), processor: Processor, at: [u64; 3]) -> Vec<[u64; 2]> {
    let [random, platform, path] = at;
    let mut vector = alloc::vec![
        (AT_HWCAP, processor.capabilities),
        (AT_PAGESZ, PAGE_SIZE),
        (AT_CLKTCK, TICKS),
        (AT_PHDR, plan.headers),
        (AT_PHENT, plan.header_size.into()),
        (AT_PHNUM, plan.header_count.into()),
        (AT_BASE, base),
        (AT_FLAGS, 0),
        (AT_ENTRY, plan.entry),
        (AT_UID, 0),
        (AT_EUID, 0),
        (AT_GID, 0),
        (AT_EGID, 0),
        (AT_SECURE, 0),
        (AT_RANDOM, random),
        (AT_HWCAP2, processor.capabilities2),
        (AT_EXECFN, path),
        (AT_PLATFORM, platform),
    ];
    if processor.signal_frame > 0 {
        vector.push((AT_MINSIGSTKSZ, processor.signal_frame));
    }
    vector.push((AT_NULL, 0));
    vector
        .into_iter()
        .map(|(kind, value)| [kind.into(), value])
        .collect()
}
