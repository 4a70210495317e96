//! Parents and children, groups and sessions.
//!
//! Locks: a parent's family, then a child's.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::Context;

use super::{ExitStatus, Process};
use crate::machine::Machine;
use crate::signals::{self, Info};
use crate::system::{Shared, Vortex};
use crate::thread::{Thread, WaitId, retry};

/// A process's place among others.
pub(super) struct Family<M: Machine> {
    /// The parent's number; 0 for none.
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) session: u32,
    pub(super) children: BTreeMap<u32, Arc<Process<M>>>,
    /// Threads that wait for a child, at most one entry each.
    pub(super) waiters: Vec<(Arc<Thread<M>>, WaitId)>,
    /// The parent has not been told yet of a stop or that the process goes on.
    pub(super) report: Option<ExitStatus>,
}

impl<M: Machine> Family<M> {
    pub(super) const fn new(parent: u32, group: u32, session: u32) -> Self {
        Self {
            parent,
            group,
            session,
            children: BTreeMap::new(),
            waiters: Vec::new(),
            report: None,
        }
    }

    /// Of a child of the process with this number.
    pub(super) const fn of_child(&self, parent: u32) -> Self {
        Self::new(parent, self.group, self.session)
    }
}

/// Tells a process's parent what has become of it. True if nobody will wait for it.
pub(super) fn tell_parent<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    status: ExitStatus,
) -> bool {
    let Some(parent) = shared.processes.find(process.parent()) else {
        return true;
    };
    let ignores = parent.signals.lock().ignores_children();
    signals::send_info(shared, context, &parent, Info::child(process.id(), status));
    wake_waiters(shared, context, &parent);
    ignores
}

/// Has the threads that wait for a child of a process look again.
pub(super) fn wake_waiters<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    parent: &Arc<Process<M>>,
) {
    let waiters = core::mem::take(&mut parent.family.lock().waiters);
    for (thread, wait) in waiters {
        let _ = retry(shared, context, &thread, wait);
    }
}

/// A child that has ended is nobody's any more.
pub(super) fn forget<M: Machine>(shared: &Shared<M>, child: &Arc<Process<M>>) {
    if let Some(parent) = shared.processes.find(child.parent()) {
        let gone = parent.family.lock().children.remove(&child.id());
        drop(gone);
    }
    shared.processes.forget(child.id());
}

/// The children of a process that has ended become the first process's.
pub(super) fn orphan<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
) {
    let children = core::mem::take(&mut process.family.lock().children);
    let first = shared.processes.find(1);
    let first = first.filter(|first| !first.is_dying() && first.id() != process.id());
    for (id, child) in children {
        child.family.lock().parent = first.as_ref().map_or(0, |first| first.id());
        if let Some(first) = &first {
            first.family.lock().children.insert(id, child.clone());
        }
        // Its end was told to the one who is gone, perhaps.
        let status = child.end_status();
        if let Some(status) = status
            && tell_parent(shared, context, &child, status)
        {
            forget(shared, &child);
        }
    }
}
