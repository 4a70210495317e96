//! How disks are driven.

/// How disks are driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Neighbouring requests of one activity are merged up to so many bytes.
    pub merge_bytes: u32,
    /// Commands that a controller has at one time. More of them let a disk choose a better order;
    /// but what it has, no scheduler chooses any more, so shares hold among what waits.
    pub depth: usize,
    /// Commands of one activity to one disk that are on their way below the SCSI Resource: what waits
    /// before the controller's scheduler. More than [`Self::depth`], so that it has a choice; what is
    /// beyond waits in the order of the disk.
    pub window: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            merge_bytes: 32 << 10,
            depth: 4,
            window: 6,
        }
    }
}
