//! What a program is started with, out of the caller's memory: its path, file, arguments and
//! environment.

use alloc::vec::Vec;

use super::argument::{In, Path};
use super::{Caller, Verdict};
use crate::errno::Errno;
use crate::executable::{self, Image, Wanted};
use crate::files::{self, Failure, Names, Node};
use crate::machine::Machine;
use crate::space::Space;

/// Bytes of one string with its zero, at most (`MAX_ARG_STRLEN`).
const LONGEST: usize = 32 * 4096;

/// Bytes of all strings and of the pointers to them, at most: a quarter of a stack's 8 MiB, as on
/// Linux.
const ALL: usize = 2 << 20;

/// How many scripts may be read by scripts before a program reads one, as on Linux.
const MOST_SCRIPTS: usize = 5;

/// A program that can be started.
#[derive(Debug)]
pub struct Program {
    /// What is loaded: of a script, the program that reads it.
    pub image: Image,
    /// Its path as it was given, made absolute; of a script, the script's.
    pub path: Vec<u8>,
    /// Where the file that is loaded is: its absolute path without links, for `/proc/self/exe`.
    pub place: Vec<u8>,
    /// Of a script, what its program is given in place of the first argument: its name and argument,
    /// and the script's path.
    script: Option<Vec<Vec<u8>>>,
}

impl Program {
    /// The program at a path from a directory, for who runs this program.
    ///
    /// # Errors
    /// As execve(2), for it, its interpreter and, if it is a script, the program that reads it: ENOENT,
    /// ENOTDIR, ELOOP, ENAMETOOLONG; EACCES for what is no regular file or may not be executed;
    /// ENOEXEC. Or what is to be brought in first.
    pub fn find(
        names: Names<'_>,
        (directory, running): (&Node, &[u8]),
        path: &[u8],
    ) -> Result<Self, Failure> {
        let mut script: Option<Vec<Vec<u8>>> = None;
        let mut name = path.to_vec();
        for _ in 0..=MOST_SCRIPTS {
            let (program, place) = names.program(directory, &name, running)?;
            let interpreter = match executable::wanted(&*program, &place)? {
                Wanted::Nothing => None,
                Wanted::Interpreter(path) => Some(names.program(directory, &path, running)?.0),
                Wanted::Script(read) => {
                    let before = script.take().unwrap_or_default();
                    let mut now = alloc::vec![read.interpreter.clone()];
                    now.extend(read.argument);
                    now.push(name);
                    now.extend(before.into_iter().skip(1));
                    script = Some(now);
                    name = read.interpreter;
                    continue;
                }
            };
            return Ok(Self {
                image: Image {
                    program,
                    interpreter,
                },
                path: absolute(names, directory, path)?,
                place,
                script,
            });
        }
        Err(Errno::ELOOP.into())
    }

    /// What it is given that was called with this argv.
    #[must_use]
    pub fn arguments(&self, argv: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        match &self.script {
            None => argv,
            Some(first) => first
                .iter()
                .cloned()
                .chain(argv.into_iter().skip(1))
                .collect(),
        }
    }

    /// The program at a path in the caller's memory, for the caller.
    ///
    /// # Errors
    /// As execve(2).
    pub fn read<M: Machine>(caller: &mut Caller<'_, '_, M>, path: Path) -> Result<Self, Verdict> {
        let path = path.read(caller.process.space())?;
        let descriptors = caller.process.descriptors().lock();
        let (directory, running) = (descriptors.directory.clone(), descriptors.program.clone());
        drop(descriptors);
        let names = caller.shared.names_for(caller.process.id());
        match Self::find(names, (&directory, &running), &path) {
            Ok(program) => Ok(program),
            Err(failure) => match files::conclude(caller, Err(failure)) {
                Err(verdict) => Err(verdict),
                Ok(_) => Err(Errno::EAGAIN.into()),
            },
        }
    }
}

/// A path from a directory, from the root.
fn absolute(names: Names<'_>, directory: &Node, path: &[u8]) -> Result<Vec<u8>, Errno> {
    if path.starts_with(b"/") {
        return Ok(path.to_vec());
    }
    let mut whole = names.path(directory)?;
    if !whole.ends_with(b"/") {
        whole.push(b'/');
    }
    whole.extend_from_slice(path);
    Ok(whole)
}

/// The strings of argv and envp. Null is an empty list.
///
/// # Errors
/// EFAULT; E2BIG if they are more than a program can be given.
pub fn strings<M: Machine>(
    space: &Space<M>,
    arguments: u64,
    environment: u64,
) -> Result<[Vec<Vec<u8>>; 2], Verdict> {
    let mut room = ALL;
    let arguments = list(space, arguments, &mut room)?;
    let environment = list(space, environment, &mut room)?;
    Ok([arguments, environment])
}

fn list<M: Machine>(
    space: &Space<M>,
    address: u64,
    room: &mut usize,
) -> Result<Vec<Vec<u8>>, Verdict> {
    let mut strings = Vec::new();
    if address == 0 {
        return Ok(strings);
    }
    let pointers = In::<u64>::at(address);
    loop {
        let string = pointers.read_at(space, strings.len() as u64)?;
        if string == 0 {
            return Ok(strings);
        }
        let string = space
            .read_string(string, LONGEST - 1)?
            .ok_or(Errno::E2BIG)?;
        *room = room
            .checked_sub(string.len() + 1 + size_of::<u64>())
            .ok_or(Errno::E2BIG)?;
        strings.push(string);
    }
}

#[cfg(test)]
mod tests;
