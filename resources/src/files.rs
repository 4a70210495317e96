//! Files: the read-only archive, descriptors, the console.

/// The root file system, read-only, from the boot ramdisk.
#[derive(Debug)]
pub struct Archive;

/// A process's open files.
#[derive(Debug)]
pub struct Descriptors;

impl Descriptors {
    /// What mmap(2) shows of an open file.
    pub fn mappable(
        &self,
        fd: i32,
    ) -> Result<alloc::sync::Arc<dyn crate::object::Object>, crate::errno::Errno> {
        unimplemented!()
    }
    /// See files.
    pub fn set_limit(&mut self, limit: u32) -> Result<(), crate::errno::Errno> {
        unimplemented!()
    }
}
