//! Who checks the toolkit's promises: every request sent is executed exactly once or handed back,
//! and requests with one dependency label start in the order sent.
//!
//! Who sends a request takes a [`Ticket`] for it first; who handles one shows it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vortex_toolkit::ids::{ActivityId, DependencyLabel, ResourceId};
use vortex_toolkit::{Head, Reason};

/// What must stay in order: one source, one destination, one payer, one label; and one activity
/// in whose requests it was sent, for those of two are handled on two cores at once.
type Stream = (
    ResourceId,
    ResourceId,
    ActivityId,
    DependencyLabel,
    ActivityId,
);

/// A request's number, and its place in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    number: usize,
    /// The stream's number and the place in it; `None` where no order was asked for.
    place: Option<(usize, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sent,
    Executed,
    Returned(Reason),
}

#[derive(Debug, Default)]
struct StreamState {
    sent: u64,
    started: u64,
    /// A task goes on with a request of this stream.
    busy: bool,
}

#[derive(Debug, Default)]
struct Books {
    states: Vec<(State, Origin)>,
    streams: Vec<StreamState>,
    numbers: HashMap<Stream, usize>,
    faults: Vec<String>,
    executed: u64,
    returned: u64,
}

/// The head of a request, for messages.
type Origin = Option<Head>;

/// The register of tickets. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Audit(Arc<Mutex<Books>>);

/// Faults kept; more say nothing new.
const FAULTS: usize = 20;

impl Audit {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ticket for the request that `head` is of, sent now, while a request of `origin` is
    /// handled.
    #[must_use]
    pub fn send(&self, head: &Head, origin: ActivityId) -> Ticket {
        let mut books = self.books();
        let number = books.states.len();
        books.states.push((State::Sent, Some(*head)));
        if head.dependency == DependencyLabel::NONE {
            return Ticket {
                number,
                place: None,
            };
        }
        let stream = (
            head.source,
            head.destination,
            head.activity,
            head.dependency,
            origin,
        );
        let next = books.streams.len();
        let index = *books.numbers.entry(stream).or_insert(next);
        if index == next {
            books.streams.push(StreamState::default());
        }
        let entry = &mut books.streams[index];
        entry.sent += 1;
        Ticket {
            number,
            place: Some((index, entry.sent)),
        }
    }

    /// A ticket for a reply, which has no place in an order.
    #[must_use]
    pub fn reply(&self) -> Ticket {
        let mut books = self.books();
        books.states.push((State::Sent, None));
        Ticket {
            number: books.states.len() - 1,
            place: None,
        }
    }

    /// A dependency label that nobody has used, above 2^32.
    #[must_use]
    pub fn fresh_label(&self) -> u64 {
        (1 << 32) + self.books().states.len() as u64
    }

    /// The request is handled, for the first time or again.
    pub fn start(&self, ticket: Ticket) {
        let mut books = self.books();
        books.expect(ticket, "started");
        let Some((index, place)) = ticket.place else {
            return;
        };
        let stream = &mut books.streams[index];
        let (started, busy) = (stream.started, stream.busy);
        stream.started = started.max(place);
        if place < started || busy {
            let (_, head) = books.states[ticket.number];
            books.fault(format!(
                "order: {ticket:?} started after {started} of its stream (busy: {busy}): {head:?}"
            ));
        }
    }

    /// The request has been executed.
    pub fn execute(&self, ticket: Ticket) {
        let mut books = self.books();
        books.expect(ticket, "executed");
        books.states[ticket.number].0 = State::Executed;
        books.executed += 1;
    }

    /// The request came back.
    pub fn hand_back(&self, ticket: Ticket, reason: Reason) {
        let mut books = self.books();
        books.expect(ticket, "handed back");
        books.states[ticket.number].0 = State::Returned(reason);
        books.returned += 1;
    }

    /// A task goes on with the request, until the guard is dropped: until then no later one of the
    /// stream may start.
    #[must_use]
    pub fn go_on(&self, ticket: Ticket) -> Ongoing {
        self.set_busy(ticket, true);
        Ongoing {
            audit: self.clone(),
            ticket,
        }
    }

    fn set_busy(&self, ticket: Ticket, busy: bool) {
        if let Some((index, _)) = ticket.place {
            self.books().streams[index].busy = busy;
        }
    }

    /// What has been found wrong; with `at_rest`, also what is neither executed nor handed back.
    #[must_use]
    pub fn faults(&self, at_rest: bool) -> Vec<String> {
        let books = self.books();
        let mut faults = books.faults.clone();
        if at_rest {
            let numbered = books.states.iter().enumerate();
            let lost = numbered.filter(|(_, (state, _))| *state == State::Sent);
            let lost = lost.map(|(number, (_, head))| format!("lost: request {number} {head:?}"));
            faults.extend(lost.take(FAULTS));
        }
        faults
    }

    /// Requests sent, executed, and handed back.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        let books = self.books();
        (books.states.len() as u64, books.executed, books.returned)
    }
}

impl Books {
    fn expect(&mut self, ticket: Ticket, what: &str) {
        let (state, head) = self.states[ticket.number];
        if state != State::Sent {
            self.fault(format!("twice: {ticket:?} {what} but {state:?}: {head:?}"));
        }
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
        }
    }
}

/// That a task goes on.
#[derive(Debug)]
pub struct Ongoing {
    audit: Audit,
    ticket: Ticket,
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.audit.set_busy(self.ticket, false);
    }
}
