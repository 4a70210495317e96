//! Files: the read-only archive, descriptors, the console.

/// The root file system, read-only, from the boot ramdisk.
#[derive(Debug)]
pub struct Archive;

/// A process's open files.
#[derive(Debug)]
pub struct Descriptors;
