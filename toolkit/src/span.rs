//! What a core has been at since it last booked something, for readers on other cores.
//!
//! A core that executes short requests books every few microseconds, and publishes nothing. One
//! that lets a thread run in user mode, or sleeps, says so first; then a reader can add the time
//! that has passed since (see [`crate::Grid::snapshot`]). What a core books at the end of a
//! published span, it books while the publication is closed, so that no reader counts it twice or
//! not at all.
//!
//! Under loom nothing is published: its models are of whole cores without readers, and the
//! publication has models of its own (`queue/tests/loom.rs`).

use vortex_queue::{Published, Publisher, published};

use crate::ids::{ActivityId, ResourceId};

/// What a core is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// Short requests.
    Short,
    /// Sleeping since then.
    Idle { since: u64 },
    /// A thread in user mode, in an execution that began then.
    User {
        since: u64,
        resource: ResourceId,
        activity: ActivityId,
        /// Interrupt cycles between then and the last time the thread was entered.
        interrupted: u64,
    },
}

const WORDS: usize = 4;

/// The core's end.
pub(crate) struct SpanPublisher {
    publisher: Publisher<WORDS>,
    is_open: bool,
}

/// The readers' end.
pub(crate) struct SpanReader(Published<WORDS>);

pub(crate) fn spans() -> (SpanPublisher, SpanReader) {
    let (publisher, published) = published();
    let is_open = false;
    (SpanPublisher { publisher, is_open }, SpanReader(published))
}

impl SpanPublisher {
    /// Whether something else than [`Span::Short`] is published.
    #[inline(always)]
    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    pub(crate) fn open(&mut self, span: Span) {
        let words = match span {
            Span::Short => [0; WORDS],
            Span::Idle { since } => [1, since, 0, 0],
            Span::User {
                since,
                resource,
                activity,
                interrupted,
            } => {
                let who = u64::from(resource.0) << 32 | u64::from(activity.0);
                [2, since, who, interrupted]
            }
        };
        if !cfg!(loom) {
            self.publisher.write(&words);
        }
        self.is_open = span != Span::Short;
    }

    /// The span is about to be booked: readers wait until [`Self::booked`].
    pub(crate) fn close(&mut self) {
        if !cfg!(loom) {
            self.publisher.begin();
        }
        self.is_open = false;
    }

    pub(crate) fn booked(&mut self) {
        self.open(Span::Short);
    }
}

impl SpanReader {
    /// What the core is at, while `others` reads its accounts; `None` after `attempts` that met a
    /// change.
    pub(crate) fn read_with(&self, attempts: usize, others: impl FnMut() -> bool) -> Option<Span> {
        let words = self.0.read_with(attempts, others)?;
        #[expect(clippy::cast_possible_truncation, reason = "each half is a number")]
        Some(match words {
            [1, since, ..] => Span::Idle { since },
            [2, since, who, interrupted] => Span::User {
                since,
                resource: ResourceId((who >> 32) as u32),
                activity: ActivityId(who as u32),
                interrupted,
            },
            _ => Span::Short,
        })
    }
}
