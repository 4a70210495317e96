//! What is to be sent, by who has no context to send it: a file that is dropped, a call on a socket.
//!
//! Key types: [`Outbox`], [`Post`]. It is noted down by core, and sent when the core has come to the
//! end of the request or the system call that it is in.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;
use spin::Mutex;
use vortex_toolkit::ids::{ActivityId, CoreId, ResourceId};

use super::label::Lane;
use super::message::NetMessage;

/// A request that is to be sent.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) destination: ResourceId,
    /// Who pays.
    pub(crate) payer: ActivityId,
    pub(crate) lane: Lane,
    pub(crate) message: NetMessage,
}

/// Requests that are to be sent, in order: mostly one, for which no memory is wanted.
type Posts = SmallVec<[Post; 1]>;

/// One core's list, which that core alone uses.
#[derive(Debug, Default)]
struct List {
    is_used: AtomicBool,
    posts: Mutex<Posts>,
}

/// What is to be sent, by core.
#[derive(Debug)]
pub(crate) struct Outbox(Vec<List>);

impl Outbox {
    pub(crate) fn new(cores: usize) -> Self {
        let lists = core::iter::repeat_with(List::default).take(cores);
        Self(lists.collect())
    }

    /// Notes a request down, on the core that this is.
    pub(crate) fn post(&self, here: CoreId, post: Post) {
        let list = &self.0[here.index()];
        list.posts.lock().push(post);
        list.is_used.store(true, Ordering::Relaxed);
    }

    /// Whether there is something to send on a core.
    #[inline]
    pub(crate) fn is_used(&self, here: CoreId) -> bool {
        self.0[here.index()].is_used.load(Ordering::Relaxed)
    }

    /// What is to be sent from a core, in order.
    pub(crate) fn take(&self, here: CoreId) -> Posts {
        let list = &self.0[here.index()];
        list.is_used.store(false, Ordering::Relaxed);
        core::mem::take(&mut *list.posts.lock())
    }
}
