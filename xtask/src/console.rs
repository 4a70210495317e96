//! The guest's second serial port: what its processes write, byte for byte, and what is typed for
//! them.
//!
//! Key types: [`Console`], [`Typist`] (who types). QEMU connects the port to a socket of ours. The firmware writes to every
//! serial port it finds, so the kernel first sends [`BEGIN`], and all before it is left out.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::qemu::escape_commas;

/// What the kernel sends when the port becomes its processes' console (`kernel/hal`, `serial`).
const BEGIN: &[u8] = b"\nvortex: console\n";

/// A socket that QEMU will connect the port to.
pub(crate) struct Console {
    // Gone with its folder when this is dropped.
    folder: TempDir,
    listener: UnixListener,
    typist: Typist,
}

/// Who types at the guest's console.
#[derive(Clone, Debug, Default)]
pub struct Typist(Arc<OnceLock<UnixStream>>);

impl Typist {
    /// Types bytes, and waits until the guest has room for them. The firmware would read them, too:
    /// so only once the kernel has the port.
    ///
    /// # Errors
    /// When the kernel does not have it yet, or the guest is gone.
    pub fn type_in(&self, bytes: &[u8]) -> Result<()> {
        let mut stream = self.0.get().context("the guest has no console yet")?;
        stream.write_all(bytes).context("the guest is gone")
    }
}

impl Console {
    /// Makes the socket.
    ///
    /// # Errors
    /// When there is no place for it.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for a socket")?;
        let path = socket(folder.path());
        let listener = UnixListener::bind(&path)
            .with_context(|| format!("cannot listen at {}", path.display()))?;
        Ok(Self {
            folder,
            listener,
            typist: Typist::default(),
        })
    }

    /// Tells QEMU of it; after the first serial port.
    pub(crate) fn add_to(&self, qemu: &mut Command) {
        let path = escape_commas(&socket(self.folder.path()));
        qemu.arg("-chardev")
            .arg(format!("socket,id=console,server=off,path={path}"));
        qemu.args(["-serial", "chardev:console"]);
    }

    /// Who types at it.
    pub(crate) fn typist(&self) -> Typist {
        self.typist.clone()
    }

    /// A way to end [`Self::read`] when QEMU has ended without ever connecting.
    pub(crate) fn release(&self) -> impl FnOnce() + Send + use<> {
        let path = socket(self.folder.path());
        // Fails only when nobody waits any more.
        move || drop(UnixStream::connect(path))
    }

    /// Gives what the processes write to `sink`, in pieces as they come, until QEMU ends or `sink`
    /// returns false.
    ///
    /// # Errors
    /// When the socket cannot be read.
    pub(crate) fn read(self, mut sink: impl FnMut(Vec<u8>) -> bool) -> io::Result<()> {
        let (mut stream, _) = self.listener.accept()?;
        let mut begin = Begin::default();
        let mut bytes = [0; 4096];
        loop {
            let length = stream.read(&mut bytes)?;
            let written = begin.after(&bytes[..length]);
            if begin.found && self.typist.0.get().is_none() {
                // Nobody else sets it.
                let _ = self.typist.0.set(stream.try_clone()?);
            }
            if length == 0 || !written.is_empty() && !sink(written) {
                return Ok(());
            }
        }
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("console")
}

/// Leaves out everything up to [`BEGIN`].
#[derive(Default)]
struct Begin {
    /// The last bytes before it, until it is found.
    before: Vec<u8>,
    found: bool,
}

impl Begin {
    /// What of the next bytes comes after it.
    fn after(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.found {
            return bytes.to_vec();
        }
        self.before.extend_from_slice(bytes);
        let at = self
            .before
            .windows(BEGIN.len())
            .position(|window| window == BEGIN);
        match at {
            Some(at) => {
                self.found = true;
                self.before.split_off(at + BEGIN.len())
            }
            None => {
                let unneeded = self.before.len().saturating_sub(BEGIN.len() - 1);
                self.before.drain(..unneeded);
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_comes_before_the_beginning_is_left_out_however_it_is_cut() {
        let whole = [
            b"BdsDxe\nvortex: con\nvortex: consol",
            BEGIN,
            b"a\r\nb\0\xff",
        ]
        .concat();
        for size in 1..whole.len() {
            let mut begin = Begin::default();
            let after: Vec<u8> = whole
                .chunks(size)
                .flat_map(|part| begin.after(part))
                .collect();
            assert_eq!(after, b"a\r\nb\0\xff", "in pieces of {size}");
        }
        assert_eq!(Begin::default().after(b"vortex: console"), b"");
    }

    #[test]
    fn what_is_typed_comes_once_the_kernel_has_the_port() {
        let console = Console::new().unwrap();
        let (typist, path) = (console.typist(), socket(console.folder.path()));
        assert!(typist.type_in(b"too early").is_err());
        let guest = std::thread::spawn(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(BEGIN).unwrap();
            stream.write_all(b"$ ").unwrap();
            let mut typed = [0; 3];
            stream.read_exact(&mut typed).unwrap();
            typed
        });
        let answer = |_| typist.type_in(b"ls\r").is_ok();
        console.read(answer).unwrap();
        assert_eq!(&guest.join().unwrap(), b"ls\r");
    }

    #[test]
    fn bytes_come_through_and_a_guest_that_never_connects_is_no_hang() {
        let console = Console::new().unwrap();
        let release = console.release();
        let path = socket(console.folder.path());
        let writer = std::thread::spawn(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(b"noise\nvortex: console\nhello").unwrap();
            drop(stream);
            release();
        });
        let mut read = Vec::new();
        console
            .read(|bytes| read.write_all(&bytes).is_ok())
            .unwrap();
        writer.join().unwrap();
        assert_eq!(read, b"hello");

        let console = Console::new().unwrap();
        let release = std::thread::spawn(console.release());
        console.read(|_| panic!("nothing was written")).unwrap();
        release.join().unwrap();
    }
}
