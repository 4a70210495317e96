//! Scripts: files whose first line names the program that reads them (execve(2), "Interpreter
//! scripts").
//!
//! Key types: [`Script`]. What counts as a first line, and what of it, is as in Linux's
//! `binfmt_script.c`: of its first 256 bytes, one argument, which may have spaces in it.

use alloc::vec::Vec;

use crate::object::Object;

/// Bytes of a file that may be its first line (`BINPRM_BUF_SIZE`).
const LINE: usize = 256;

/// What a file's first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The path of the program that reads it; empty if the line names none and ends with a zero.
    pub interpreter: Vec<u8>,
    /// What that is given before the script's own path.
    pub argument: Option<Vec<u8>>,
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_end(line: &[u8]) -> &[u8] {
    let last = line.iter().rposition(|&byte| !is_space(byte));
    &line[..last.map_or(0, |last| last + 1)]
}

fn skip_spaces(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|&byte| !is_space(byte));
    start.map_or(&[], |start| &line[start..])
}

impl Script {
    /// Whether a file is a script, be it one that cannot be started.
    #[must_use]
    pub fn is_one(file: &dyn Object) -> bool {
        let mut mark = [0; 2];
        file.read(0, &mut mark) == mark.len() && mark == *b"#!"
    }

    /// The script that a file is; `None` if its first line does not name a program, or is too long.
    #[must_use]
    pub fn of(file: &dyn Object) -> Option<Self> {
        // Behind a short file's end there are zeros.
        let mut bytes = [0; LINE];
        file.read(0, &mut bytes);
        let line = bytes.strip_prefix(b"#!")?;
        let line = match line.iter().find(|byte| matches!(byte, b'\n' | 0)) {
            Some(b'\n') => {
                let line = line.split(|&byte| byte == b'\n').next()?;
                trim_end(skip_spaces(line))
            }
            // Without an end of the line, the name at least must have one.
            _ => {
                let line = skip_spaces(line);
                if !line.iter().any(|&byte| is_space(byte) || byte == 0) {
                    return None;
                }
                // The last byte is not looked at.
                trim_end(&line[..line.len() - 1])
            }
        };
        if line.is_empty() {
            return None;
        }
        let end = line.iter().position(|&byte| is_space(byte) || byte == 0);
        let (interpreter, rest) = line.split_at(end.unwrap_or(line.len()));
        // Behind spaces there is an argument, be it an empty one where the file ends.
        let argument = match rest.first() {
            None | Some(0) => &[],
            Some(_) => skip_spaces(rest),
        };
        let string = |bytes: &[u8]| bytes.split(|&byte| byte == 0).next().map(<[u8]>::to_vec);
        Some(Self {
            interpreter: interpreter.to_vec(),
            argument: (!argument.is_empty()).then(|| string(argument)).flatten(),
        })
    }
}

#[cfg(test)]
mod tests;
