//! An asynchronous lock, shared or exclusive, in the order of arrival.
//!
//! It guards no value: what it protects is on the volume. A waiter is granted the lock when it is
//! the first in the queue and the holders allow it; a future that is dropped leaves the queue. No
//! core spins on it for longer than its queue is touched.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use spin::Mutex;

/// The lock. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lock(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    readers: usize,
    writer: bool,
    queue: VecDeque<Waiter>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    waker: Waker,
}

impl State {
    const fn admits(&self, exclusive: bool) -> bool {
        !self.writer && (!exclusive || self.readers == 0)
    }

    fn enter(&mut self, exclusive: bool) {
        if exclusive {
            self.writer = true;
        } else {
            self.readers += 1;
        }
    }

    /// Who may have become able to go on.
    fn first(&self) -> Option<Waker> {
        self.queue.front().map(|waiter| waiter.waker.clone())
    }
}

impl Lock {
    /// Waits for the lock, to be shared with others that share it.
    pub(crate) fn shared(&self) -> Acquire {
        self.acquire(false)
    }

    /// Waits for the lock, alone.
    pub(crate) fn exclusive(&self) -> Acquire {
        self.acquire(true)
    }

    fn acquire(&self, exclusive: bool) -> Acquire {
        Acquire {
            lock: self.clone(),
            exclusive,
            ticket: None,
        }
    }

    fn wake_first(&self) {
        let waker = self.0.lock().first();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A wait for a [`Lock`].
#[derive(Debug)]
pub(crate) struct Acquire {
    lock: Lock,
    exclusive: bool,
    ticket: Option<u64>,
}

impl Future for Acquire {
    type Output = Guard;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Guard> {
        let exclusive = self.exclusive;
        let lock = self.lock.clone();
        let mut state = lock.0.lock();
        let first = match (self.ticket, state.queue.front()) {
            (None, front) => front.is_none(),
            (Some(ticket), front) => front.is_some_and(|waiter| waiter.ticket == ticket),
        };
        if first && state.admits(exclusive) {
            if self.ticket.take().is_some() {
                state.queue.pop_front();
            }
            state.enter(exclusive);
            drop(state);
            lock.wake_first();
            return Poll::Ready(Guard { lock, exclusive });
        }
        let waker = context.waker().clone();
        match self.ticket {
            Some(ticket) => {
                let mine = state
                    .queue
                    .iter_mut()
                    .find(|waiter| waiter.ticket == ticket);
                if let Some(waiter) = mine {
                    waiter.waker = waker;
                }
            }
            None => {
                let ticket = state.next_ticket;
                state.next_ticket += 1;
                state.queue.push_back(Waiter { ticket, waker });
                self.ticket = Some(ticket);
            }
        }
        Poll::Pending
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut state = self.lock.0.lock();
            state.queue.retain(|waiter| waiter.ticket != ticket);
            drop(state);
            self.lock.wake_first();
        }
    }
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    lock: Lock,
    exclusive: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.lock.0.lock();
        if self.exclusive {
            state.writer = false;
        } else {
            state.readers -= 1;
        }
        drop(state);
        self.lock.wake_first();
    }
}
