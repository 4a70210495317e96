//! The Process Resource's data (paper, section 3.4).

use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::ids::{ActivityId, ResourceId};

use crate::executable::Arguments;
use crate::files::Descriptors;
use crate::machine::Machine;
use crate::object::Object;
use crate::space::Space;
use crate::system::Kind;
use crate::thread::Thread;

pub mod calls;

bitflags::bitflags! {
    /// What a process may do beyond its own affairs. Children have at most their parent's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rights: u32 {
        /// Read the statistics of others.
        const READ_STATISTICS = 1;
        /// Create activities, and set weights at any resource.
        const SET_WEIGHTS = 2;
        /// Start processes in other activities, or move them there.
        const CHOOSE_ACTIVITY = 4;
        /// Signal processes of other activities.
        const SIGNAL_OTHERS = 8;
        /// Power off, reboot.
        const POWER = 16;
    }
}

/// What a process has used, with its threads that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumption {
    /// CPU time in user mode and in calls that are not requests, in cycles.
    pub cycles: u64,
    /// Page faults resolved at once.
    pub minor_faults: u64,
    /// Page faults for which a page had to be fetched.
    pub major_faults: u64,
    /// Times that a thread has waited.
    pub voluntary_switches: u64,
    /// Times that a thread has been made to give way.
    pub involuntary_switches: u64,
}

/// A process to start.
pub struct Spawn<M: Machine> {
    /// Who asks, and waits for the new process's number; `None` for the first processes.
    pub caller: Option<Arc<Thread<M>>>,
    /// Who pays for it.
    pub activity: ActivityId,
    /// What it may do.
    pub rights: Rights,
    /// Its program.
    pub file: Arc<dyn Object>,
    /// What the program is given.
    pub arguments: Arguments,
    /// Its open files.
    pub descriptors: Descriptors,
}

/// All processes and threads by number.
pub struct Directory<M: Machine>(core::marker::PhantomData<M>);

impl<M: Machine> Directory<M> {
    /// The process with this number; zombies too.
    pub fn find(&self, id: u32) -> Option<Arc<Process<M>>> {
        unimplemented!()
    }

    /// All processes that have not ended.
    pub fn all(&self) -> Vec<Arc<Process<M>>> {
        unimplemented!()
    }

    /// How many there are, zombies too.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
}

/// A process.
pub struct Process<M: Machine> {
    space: Arc<Space<M>>,
    descriptors: spin::Mutex<Descriptors>,
}

impl<M: Machine> Process<M> {
    /// Its number, positive.
    pub fn id(&self) -> u32 {
        unimplemented!()
    }

    /// Its parent's number; 0 for the first process.
    pub fn parent(&self) -> u32 {
        unimplemented!()
    }

    /// Its address space.
    pub fn space(&self) -> &Arc<Space<M>> {
        &self.space
    }

    /// Who pays for what it does.
    pub fn activity(&self) -> ActivityId {
        unimplemented!()
    }

    /// What it may do.
    pub fn rights(&self) -> Rights {
        unimplemented!()
    }

    /// Its instance of the Thread Resource.
    pub fn threads(&self) -> ResourceId {
        unimplemented!()
    }

    /// Where its requests to a resource of this kind go. No lock, after the first time.
    pub fn destination(&self, kind: Kind) -> ResourceId {
        unimplemented!()
    }

    /// What it has set for itself by calls.
    pub fn settings(&self) -> &crate::calls::settings::Settings {
        unimplemented!()
    }

    /// Its open files.
    pub fn descriptors(&self) -> &spin::Mutex<Descriptors> {
        &self.descriptors
    }

    /// The program's name: the last part of its path, at most 15 bytes (prctl `PR_GET_NAME`).
    pub fn name(&self) -> [u8; 16] {
        unimplemented!()
    }

    /// Its threads that have not ended.
    pub fn all_threads(&self) -> Vec<Arc<Thread<M>>> {
        unimplemented!()
    }

    /// What it has used up to now.
    pub fn consumption(&self, now: u64) -> Consumption {
        unimplemented!()
    }

    /// What its children have used that have ended and been waited for.
    pub fn children_consumption(&self) -> Consumption {
        unimplemented!()
    }
}
