//! The Executable Resource: ELF programs into address spaces (paper, section 3.2).
//!
//! Key types: [`Image`] (a program's files), [`Plan`] (what of a file goes where: pure, and all of
//! the checking), [`Script`], [`Arguments`], [`Entry`]. [`load`] carries plans out. A program is an ELF64
//! file for x86-64, at fixed addresses or position-independent, static or with an interpreter (its
//! dynamic loader) that is loaded beside it and begins to run in its place; anything else is ENOEXEC,
//! and the log says why, once for each file. Scripts are not loaded: who starts one finds the program
//! that reads it ([`wanted`]).

mod plan;
mod script;
mod stack;

pub use plan::{LOWEST, MAX_PROGRAM, PROGRAM_END, Plan, Refused, Segment, interpreter};
pub use script::Script;
pub use stack::{MAX_ARGUMENT, MAX_ARGUMENTS};

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::errno::Errno;
use crate::machine::{Machine, PAGE_SIZE, USER_END};
use crate::object::{Object, Part};
use crate::space::{Backing, Mapping, Place, Protection, Space, UserError};

/// How long the stack of a program's first thread may get, in bytes.
pub const STACK_BYTES: u64 = 8 << 20;
/// What the stack has before it grows, in bytes beyond what is on it at the start.
const STACK_SPARE: u64 = 128 << 10;
/// The stack begins up to so many pages below the end of the address space.
const STACK_PLACES: u64 = 1 << 22;

/// Where a loaded program begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The instruction pointer.
    pub instruction: u64,
    /// The stack pointer: arguments, environment and auxiliary vector are above it.
    pub stack: u64,
}

/// What is loaded of a program.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its own file.
    pub program: Arc<dyn Object>,
    /// Its interpreter's, if it wants one.
    pub interpreter: Option<Arc<dyn Object>>,
}

impl<F: Object + 'static> From<Arc<F>> for Image {
    fn from(program: Arc<F>) -> Self {
        Self {
            program,
            interpreter: None,
        }
    }
}

/// Which other file it takes to start one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None.
    Nothing,
    /// The interpreter at this path, to be loaded beside it.
    Interpreter(Vec<u8>),
    /// The program that reads it, instead of it.
    Script(Script),
}

/// Which other file it takes to start this one, at `path`.
///
/// # Errors
/// ENOEXEC if it is no program.
pub fn wanted(file: &dyn Object, path: &[u8]) -> Result<Wanted, Errno> {
    let wanted = match Script::is_one(file) {
        true => Script::of(file).map(Wanted::Script).ok_or(Refused::Script),
        false => interpreter(file).map(|path| path.map_or(Wanted::Nothing, Wanted::Interpreter)),
    };
    wanted.map_err(|refused| {
        tell(file.number(), path, refused);
        refused.errno()
    })
}

/// What a program is started with.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// The path, for `AT_EXECFN`.
    pub path: Vec<u8>,
    /// argv.
    pub arguments: Vec<Vec<u8>>,
    /// envp.
    pub environment: Vec<Vec<u8>>,
}

/// What a program is told of the processor in its auxiliary vector (getauxval(3)).
#[derive(Clone, Copy, Debug, Default)]
pub struct Processor {
    /// `AT_HWCAP`: `EDX` of `CPUID` leaf 1.
    pub capabilities: u64,
    /// `AT_HWCAP2`: bit 1 for the instructions that read and write FS and GS bases.
    pub capabilities2: u64,
    /// `AT_MINSIGSTKSZ`: bytes that a signal's frame may take; left out if 0.
    pub signal_frame: u64,
}

/// Maps a program into an empty address space: segments, its interpreter's, heap, stack, auxiliary
/// vector. `random` is for `AT_RANDOM` and for placing.
///
/// # Errors
/// As execve(2); ENOMEM also when there are no frames for the stack. For what Linux kills the caller,
/// having gone too far to return, such as an interpreter with damaged segments, EINVAL.
pub fn load<M: Machine>(
    space: &Space<M>,
    image: &Image,
    arguments: &Arguments,
    processor: Processor,
    random: [u8; 40],
) -> Result<Entry, Errno> {
    let number = |from: usize| {
        let bytes = random[from..from + 8]
            .first_chunk()
            .copied()
            .unwrap_or_default();
        u64::from_le_bytes(bytes)
    };
    let file = &image.program;
    let plan = Plan::of(&**file, number(16)).map_err(|refused| {
        tell(file.number(), &arguments.path, refused);
        refused.errno()
    })?;
    let beside = image.interpreter.as_ref().map(|file| {
        let plan = plan.with_interpreter(&**file, number(32));
        plan.map(|plan| (plan, file)).map_err(|refused| {
            tell(file.number(), b"an interpreter", refused);
            refused.errno_of_interpreter()
        })
    });
    let beside = beside.transpose()?;
    let top = USER_END - PAGE_SIZE * (1 + number(24) % STACK_PLACES);
    let key = random.first_chunk().copied().unwrap_or_default();
    let base = beside.as_ref().map_or(0, |(plan, _)| plan.bias);
    let contents = stack::contents((&plan, base), arguments, processor, key, top)?;
    for (plan, file) in [(&plan, file)]
        .into_iter()
        .chain(beside.iter().map(|(plan, file)| (plan, *file)))
    {
        for segment in &plan.segments {
            let _ = space.map(&mapping(segment, file))?;
        }
    }
    space.set_heap(plan.heap);
    map_stack(space, &plan, &contents, top)?;
    Ok(Entry {
        instruction: beside.map_or(plan.entry, |(plan, _)| plan.entry),
        stack: contents.pointer,
    })
}

/// Maps the first thread's stack, which ends at `top`, and writes what is on it.
fn map_stack<M: Machine>(
    space: &Space<M>,
    plan: &Plan,
    contents: &stack::Contents,
    top: u64,
) -> Result<(), Errno> {
    let bottom = (contents.pointer - STACK_SPARE) / PAGE_SIZE * PAGE_SIZE;
    let _ = space.map(&Mapping {
        place: Place::Vacant(bottom),
        length: top - bottom,
        protection: Protection {
            read: true,
            write: true,
            execute: plan.executable_stack,
        },
        backing: Backing::Anonymous,
        shared: false,
        grows: Some(STACK_BYTES),
        name: "stack",
    })?;
    space
        .write(contents.pointer, &contents.bytes)
        .map_err(|error| match error {
            UserError::Bad => Errno::EFAULT,
            UserError::Absent(..) => Errno::ENOMEM,
        })
}

/// How a segment is mapped.
fn mapping(segment: &Segment, file: &Arc<dyn Object>) -> Mapping {
    let backing = match segment.file {
        None => Backing::Anonymous,
        Some((offset, length)) => Backing::File(Part {
            object: Arc::clone(file),
            offset,
            length,
            writable: false,
        }),
    };
    let name = match (&backing, segment.protection) {
        (Backing::Anonymous, _) => "bss",
        (_, Protection { execute: true, .. }) => "text",
        (_, Protection { write: true, .. }) => "data",
        _ => "rodata",
    };
    Mapping {
        place: Place::Vacant(segment.start),
        length: segment.length,
        protection: segment.protection,
        backing,
        shared: false,
        grows: None,
        name,
    }
}

/// Logs why a file is no program, the first time it is tried.
fn tell(number: u64, path: &[u8], refused: Refused) {
    /// So that a process that tries all files there are fills neither memory nor log.
    const MOST: usize = 64;
    static TOLD: spin::Mutex<BTreeSet<u64>> = spin::Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock();
    if told.len() < MOST && told.insert(number) {
        let path: String = path.escape_ascii().map(char::from).collect();
        log::warn!("{path} is not started: {refused}");
    }
}

#[cfg(test)]
mod tests;
