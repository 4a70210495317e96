//! Timers that are read like files (`timerfd_create`(2)).
//!
//! Key types: [`Timer`], [`Alarms`] (what tells the time and rings at one).
//!
//! A periodic timer rings once, and begins its next period when somebody looks at it: what is not
//! read costs nothing.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::fmt::Debug;

use spin::Mutex;

use super::ready::{Events, WaitQueue};

/// What rings when it is time. Times are in cycles of the clock.
pub trait Alarms: Debug + Send + Sync {
    /// The time.
    fn now(&self) -> u64;
    /// Has [`Timer::ring`] be called at a time, unless what is returned is dropped before.
    fn arm(&self, timer: &Arc<Timer>, at: u64) -> Box<dyn Any + Send>;
}

/// A timer that runs.
#[derive(Debug)]
struct Run {
    deadline: u64,
    /// Cycles from one ringing to the next; 0 for once.
    interval: u64,
    /// `None` once it has rung.
    alarm: Option<Box<dyn Any + Send>>,
}

#[derive(Debug, Default)]
struct State {
    /// How often it has rung since it was read.
    count: u64,
    run: Option<Run>,
}

/// When a timer rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Cycles until it rings; 0 for never.
    pub left: u64,
    /// Cycles from one ringing to the next; 0 for once.
    pub interval: u64,
}

/// A timer.
#[derive(Debug)]
pub struct Timer {
    state: Mutex<State>,
    queue: Arc<WaitQueue>,
    alarms: Box<dyn Alarms>,
    /// Absolute times that it is set to are times since 1970.
    is_real: bool,
}

impl Timer {
    /// That never rings.
    #[must_use]
    pub fn new(alarms: Box<dyn Alarms>, is_real: bool) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            queue: WaitQueue::new(),
            alarms,
            is_real,
        })
    }

    /// Who waits for it.
    #[must_use]
    pub fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// Whether absolute times that it is set to are times since 1970.
    #[must_use]
    pub const fn is_real(&self) -> bool {
        self.is_real
    }

    /// What it is ready for.
    #[must_use]
    pub fn readiness(&self) -> Events {
        match self.state.lock().count {
            0 => Events::empty(),
            _ => Events::IN,
        }
    }

    /// Sets it to ring at a time, and then again and again; what it was set to before.
    #[must_use]
    pub fn set(self: &Arc<Self>, deadline: Option<u64>, interval: u64) -> Setting {
        let mut state = self.state.lock();
        let before = self.look(&mut state);
        state.count = 0;
        let gone = state.run.take();
        state.run = deadline.map(|deadline| Run {
            deadline,
            interval,
            alarm: Some(self.alarms.arm(self, deadline)),
        });
        drop(state);
        drop(gone);
        before
    }

    /// What it is set to.
    #[must_use]
    pub fn setting(self: &Arc<Self>) -> Setting {
        self.look(&mut self.state.lock())
    }

    /// How often it has rung since it was read last; `None` for never.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<u64> {
        let mut state = self.state.lock();
        self.look(&mut state);
        Some(core::mem::take(&mut state.count)).filter(|count| *count > 0)
    }

    /// It is time.
    pub fn ring(&self) {
        let mut state = self.state.lock();
        let now = self.alarms.now();
        // It may have been set anew meanwhile.
        let Some(run) = state.run.as_mut().filter(|run| run.deadline <= now) else {
            return;
        };
        let gone = run.alarm.take();
        if gone.is_some() {
            state.count += 1;
        }
        drop(state);
        drop(gone);
        self.queue.notify(Events::IN);
    }

    /// Counts what a periodic timer that has rung has missed, and has it ring again.
    fn look(self: &Arc<Self>, state: &mut State) -> Setting {
        let now = self.alarms.now();
        let Some(run) = &mut state.run else {
            return Setting::default();
        };
        if run.alarm.is_none() && run.interval > 0 {
            let missed = now.saturating_sub(run.deadline) / run.interval;
            state.count = state.count.saturating_add(missed);
            let on = missed.saturating_add(1).saturating_mul(run.interval);
            run.deadline = run.deadline.saturating_add(on);
            run.alarm = Some(self.alarms.arm(self, run.deadline));
        }
        let left = match run.alarm {
            // One that is to ring is not told as one that is not.
            Some(_) => run.deadline.saturating_sub(now).max(1),
            None => 0,
        };
        Setting {
            left,
            interval: run.interval,
        }
    }
}
