//! All processes and threads by number.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::RwLock;

use super::Process;
use crate::errno::Errno;
use crate::machine::Machine;
use crate::thread::Thread;

/// Numbers are below this, as on Linux.
const NUMBERS: u32 = 1 << 22;

struct Numbers<M: Machine> {
    /// The process of each number; `None` while the number is reserved for one.
    taken: BTreeMap<u32, Option<Arc<Process<M>>>>,
    last: u32,
    /// Processes that have not ended.
    living: usize,
}

/// All processes and threads by number: a thread's number stands for its process.
pub struct Directory<M: Machine>(RwLock<Numbers<M>>);

impl<M: Machine> Directory<M> {
    pub(crate) const fn new() -> Self {
        Self(RwLock::new(Numbers {
            taken: BTreeMap::new(),
            last: 0,
            living: 0,
        }))
    }

    /// The process with this number; zombies too.
    pub fn find(&self, id: u32) -> Option<Arc<Process<M>>> {
        let numbers = self.0.read();
        let process = numbers.taken.get(&id)?.as_ref()?;
        (process.id() == id).then(|| process.clone())
    }

    /// The thread with this number, if it has not ended.
    pub fn thread(&self, id: u32) -> Option<Arc<Thread<M>>> {
        let process = self.0.read().taken.get(&id)?.clone()?;
        process.thread(id)
    }

    /// All processes that have not ended.
    pub fn all(&self) -> Vec<Arc<Process<M>>> {
        let mut all = self.with_zombies();
        all.retain(|process| !process.has_ended());
        all
    }

    /// All processes.
    pub fn with_zombies(&self) -> Vec<Arc<Process<M>>> {
        let numbers = self.0.read();
        let processes = numbers.taken.iter().filter_map(|(id, process)| {
            let process = process.as_ref()?;
            (process.id() == *id).then(|| process.clone())
        });
        processes.collect()
    }

    /// How many processes there are, zombies too.
    pub fn len(&self) -> usize {
        self.with_zombies().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a number that nobody has, for a new thread of a process.
    ///
    /// # Errors
    /// EAGAIN if there is none left.
    pub(crate) fn new_number(&self, process: &Arc<Process<M>>) -> Result<u32, Errno> {
        self.take(Some(process.clone()))
    }

    /// Takes a number that nobody has, for a new process.
    ///
    /// # Errors
    /// EAGAIN if there is none left.
    pub(super) fn reserve(&self) -> Result<u32, Errno> {
        self.take(None)
    }

    fn take(&self, process: Option<Arc<Process<M>>>) -> Result<u32, Errno> {
        let mut numbers = self.0.write();
        let last = numbers.last;
        let after = (last + 1..NUMBERS).chain(1..=last);
        let free = after.into_iter().find(|id| !numbers.taken.contains_key(id));
        let id = free.ok_or(Errno::EAGAIN)?;
        numbers.last = id;
        numbers.taken.insert(id, process);
        Ok(id)
    }

    /// A process has the number that was reserved for it, and lives.
    pub(super) fn enter(&self, process: &Arc<Process<M>>) {
        let mut numbers = self.0.write();
        numbers.taken.insert(process.id(), Some(process.clone()));
        numbers.living += 1;
    }

    /// Another process has the number from now on (execve(2)).
    pub(super) fn replace(&self, process: &Arc<Process<M>>) {
        let taken = Some(process.clone());
        let gone = self.0.write().taken.insert(process.id(), taken);
        drop(gone);
    }

    /// A number is free again.
    pub(crate) fn forget(&self, id: u32) {
        let gone = self.0.write().taken.remove(&id);
        drop(gone);
    }

    /// One process fewer that has not ended. True if it was the last.
    pub(super) fn leave(&self) -> bool {
        let mut numbers = self.0.write();
        numbers.living -= 1;
        numbers.living == 0
    }
}
