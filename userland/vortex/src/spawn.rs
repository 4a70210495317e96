//! Starting a program.

use std::ffi::CString;
use std::io;

use vortex_abi::{INHERIT, Record, SpawnArguments, calls};

use crate::activity::Activity;
use crate::stub;

/// A program to start.
#[derive(Clone, Debug)]
pub struct Spawn {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    activity: Option<Activity>,
    rights: u64,
    stdout: u64,
}

impl Spawn {
    /// The program at `path`, which is also its first argument; without environment, without
    /// rights, in the caller's activity.
    ///
    /// # Errors
    /// The path has a zero byte.
    pub fn new(path: &str) -> io::Result<Self> {
        let path = CString::new(path)?;
        Ok(Self {
            arguments: vec![path.clone()],
            path,
            environment: Vec::new(),
            activity: None,
            rights: 0,
            stdout: INHERIT,
        })
    }

    /// One more argument.
    ///
    /// # Errors
    /// It has a zero byte.
    pub fn argument(&mut self, argument: &str) -> io::Result<&mut Self> {
        self.arguments.push(CString::new(argument)?);
        Ok(self)
    }

    /// One more variable of the environment.
    ///
    /// # Errors
    /// It has a zero byte.
    pub fn variable(&mut self, name: &str, value: &str) -> io::Result<&mut Self> {
        self.environment
            .push(CString::new(format!("{name}={value}"))?);
        Ok(self)
    }

    /// The activity that pays.
    pub const fn activity(&mut self, activity: Activity) -> &mut Self {
        self.activity = Some(activity);
        self
    }

    /// What it may do: see [`vortex_abi::rights`].
    pub const fn rights(&mut self, rights: u64) -> &mut Self {
        self.rights = rights;
        self
    }

    /// Its standard output and error are what the caller has under this number.
    pub const fn stdout(&mut self, descriptor: u32) -> &mut Self {
        self.stdout = descriptor as u64;
        self
    }

    /// Starts it. Returns its process number: it is the caller's child, to be waited for.
    ///
    /// # Errors
    /// There is no such file, or it is no program that can be run; the activity or the rights are
    /// not the caller's to give; no memory.
    pub fn start(&self) -> io::Result<u32> {
        let arguments = addresses(&self.arguments);
        let environment = addresses(&self.environment);
        let arguments = SpawnArguments {
            path: self.path.as_ptr() as u64,
            arguments: arguments.as_ptr() as u64,
            environment: environment.as_ptr() as u64,
            activity: self.activity.map_or(INHERIT, |activity| activity.0),
            rights: self.rights,
            stdin: INHERIT,
            stdout: self.stdout,
            stderr: self.stdout,
        };
        let mut bytes = [0; SpawnArguments::SIZE];
        arguments.encode(&mut bytes).map_err(io::Error::other)?;
        let (address, length) = (bytes.as_ptr() as u64, bytes.len() as u64);
        // SAFETY: the kernel reads the structure, the vectors and the strings they lead to, all of
        // which live until the end of this function.
        let process = unsafe { stub::call(calls::SPAWN, [address, length, 0, 0]) }?;
        u32::try_from(process).map_err(io::Error::other)
    }
}

/// The strings' addresses, with a zero behind.
fn addresses(strings: &[CString]) -> Vec<u64> {
    let addresses = strings.iter().map(|string| string.as_ptr() as u64);
    addresses.chain([0]).collect()
}
