//! What tasks wait for that is no reply: signals that any handler on any core may give.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// All tasks that wait for a signal. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Signals(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    /// Tasks so far.
    tasks: u64,
    /// Nobody waits any more.
    is_over: bool,
}

struct Waiting {
    task: u64,
    /// The signal has been given, and the task not polled since.
    is_given: bool,
    waker: Waker,
}

/// A task, from its first poll on: it does not wait when it has gone.
struct Entry {
    signals: Signals,
    task: Option<u64>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.signals.state();
        state.waiting.retain(|one| Some(one.task) != self.task);
    }
}

impl Signals {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a signal.
    pub(super) async fn wait(&self) {
        let mut entry = Entry {
            signals: self.clone(),
            task: None,
        };
        poll_fn(|context| {
            let mut state = entry.signals.state();
            if state.is_over {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            let Some(task) = entry.task else {
                let task = state.tasks;
                state.tasks += 1;
                state.waiting.push(Waiting {
                    task,
                    is_given: false,
                    waker,
                });
                drop(state);
                entry.task = Some(task);
                return Poll::Pending;
            };
            match state.waiting.iter_mut().find(|one| one.task == task) {
                Some(one) if !one.is_given => {
                    one.waker = waker;
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Gives one task its signal, or wakes it for nothing.
    pub(super) fn wake_one(&self, rng: &mut fastrand::Rng) {
        let mut state = self.state();
        if state.waiting.is_empty() {
            return;
        }
        let chosen = rng.usize(..state.waiting.len());
        let one = &mut state.waiting[chosen];
        one.is_given |= rng.bool();
        one.waker.wake_by_ref();
    }

    /// Gives all tasks their signals, those that begin to wait later at once.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        for one in &state.waiting {
            one.waker.wake_by_ref();
        }
    }

    /// Whether a task waits that has been given its signal.
    pub(super) fn are_missing(&self) -> bool {
        let state = self.state();
        let given = |one: &Waiting| one.is_given || state.is_over;
        state.waiting.iter().any(given)
    }
}
