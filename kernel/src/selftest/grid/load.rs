//! What the cores do in `selftest=grid`.
//!
//! A *token* is a chain of requests: each is executed once and sends the next. All tokens have a
//! home, a core whose worker executes them; most stay there, the *travellers* go to the meeting
//! place, on a core that their label is bound to, and back after every request. On each core the
//! requests are counted from when all tokens are on their way, and a core's tokens end there when
//! enough are counted.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use spin::Once;
use vortex_hal::{apic, clock, cores};
use vortex_schedulers::Policy;
use vortex_toolkit::ids::{ActivityId, AffinityLabel, ResourceId};
use vortex_toolkit::scheduler::Weight;
use vortex_toolkit::statistics::Usage;
use vortex_toolkit::{Outcome, Reason, Request, SchedulerSpec, System};

use super::{Received, Shared, core_id, worker_name};
use crate::grid::interrupts::Waiting;
use crate::grid::{Processor, Wired, Wiring, interrupts, wake_boot_core};
use crate::selftest::Failure;

/// Requests counted on each core before it looks at who has used what, and until it does again.
const SETTLED: u64 = 100;
/// See [`SETTLED`].
pub(super) const COUNTED: u64 = 10_000;

/// Tokens of each activity that stay on each core: enough that one is always waiting.
const STAYING: usize = 3;
/// Tokens of each activity and core that travel.
const TRAVELLERS: usize = 2;

/// How long each activity's requests are, in turns of a loop.
const TURNS: [u32; 3] = [500, 1000, 2000];

/// How long an interrupt may take to come to the core that asked for it.
const SOON: Duration = Duration::from_secs(5);

/// What the resources of the load say to each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    /// To a worker: a token's request; `step` is the number of those before it.
    Work {
        /// Which token.
        token: usize,
        /// How many requests of it came before.
        step: u64,
    },
    /// To the meeting place: the same.
    Meet {
        /// Which token.
        token: usize,
        /// How many requests of it came before.
        step: u64,
    },
    /// To a worker: have this core interrupted.
    Fire,
    /// To the meeting place: an interrupt.
    Interrupt,
    /// To a worker: fill this core's inbox, then have it interrupted.
    Flood,
    /// To a worker: fills an inbox.
    Filler,
    /// To a worker: look at the books.
    Audit,
}

impl vortex_toolkit::Message for Message {}

/// The system of the load: nothing but its resources.
pub(crate) struct SelfTest;

static WIRING: Wiring<SelfTest> = Wiring::new();

impl System for SelfTest {
    type Platform = Processor;
    type Policy = Policy;
    type Message = Message;
    type Resources = Resources;
}

impl Wired for SelfTest {
    fn wiring() -> &'static Wiring<Self> {
        &WIRING
    }

    fn resources(_shared: &'static Shared) -> Resources {
        Resources
    }
}

type Context<'a> = vortex_toolkit::Context<'a, SelfTest>;

/// What one core counts; it alone writes.
#[derive(Default)]
pub(super) struct Counts {
    /// Requests of the load that were executed.
    handled: AtomicU64,
    /// Those of its worker since all tokens are on their way.
    counted: AtomicU64,
    before: Once<[Usage; 3]>,
    after: Once<[Usage; 3]>,
    /// What it found in its books.
    pub(super) audit: Once<Audit>,
}

/// The state of the load.
pub(super) struct Load {
    shared: &'static Shared,
    pub(super) activities: [ActivityId; 3],
    /// One for each core.
    pub(super) workers: Vec<ResourceId>,
    /// On all cores.
    pub(super) meeting: ResourceId,
    /// The interrupts' vector.
    vector: u8,
    /// For each token, the step that comes next.
    pub(super) tokens: Vec<AtomicU64>,
    pub(super) cores: Vec<Counts>,
    /// Tokens on their way.
    arrived: AtomicU64,
    /// Tokens that have not ended, and fillers that have not arrived.
    live: AtomicU64,
    /// Executions that should not have been.
    wrong: AtomicU64,
    /// An interrupt has been asked for and has not become a request.
    in_flight: AtomicBool,
    interrupts: AtomicU64,
    expected_interrupts: AtomicU64,
}

static LOAD: Once<Load> = Once::new();

impl Load {
    /// Makes the resources, once.
    pub(super) fn install(
        shared: &'static Shared,
        activities: [ActivityId; 3],
    ) -> Result<&'static Self, Failure> {
        let grid = &shared.grid;
        let count = grid.cores();
        let on = |cores: core::ops::Range<usize>| {
            SchedulerSpec::on(Policy::Wfq, cores.map(core_id), Weight::DEFAULT)
        };
        let worker = |core| grid.add_resource(&worker_name(core), on(core..core + 1));
        let workers = (0..count).map(worker).collect();
        let meeting = grid.add_resource("selftest.meeting", on(0..count));
        let interrupt = |_vector| Message::Interrupt;
        let vector = interrupts::register(shared, meeting, interrupt, Waiting::All)
            .map_err(|error| Failure::new(format_args!("{error}")))?;
        let tokens = count * activities.len() * (STAYING + TRAVELLERS);
        Ok(LOAD.call_once(|| Self {
            shared,
            activities,
            workers,
            meeting,
            vector,
            tokens: (0..tokens).map(|_| AtomicU64::new(0)).collect(),
            cores: (0..count).map(|_| Counts::default()).collect(),
            arrived: AtomicU64::new(0),
            live: AtomicU64::new(tokens as u64),
            wrong: AtomicU64::new(0),
            in_flight: AtomicBool::new(false),
            interrupts: AtomicU64::new(0),
            expected_interrupts: AtomicU64::new(0),
        }))
    }

    /// The core where a token belongs.
    pub(super) fn home(&self, token: usize) -> usize {
        token % self.cores.len()
    }

    /// The number of a token's activity.
    fn kind(&self, token: usize) -> usize {
        token / self.cores.len() % self.activities.len()
    }

    /// A token's activity.
    pub(super) fn payer(&self, token: usize) -> ActivityId {
        self.activities[self.kind(token)]
    }

    fn travels(&self, token: usize) -> bool {
        token / self.cores.len() / self.activities.len() >= STAYING
    }

    /// Tokens that have not ended, and fillers that have not arrived.
    pub(super) fn live(&self) -> u64 {
        self.live.load(Ordering::Acquire)
    }

    /// Executions that should not have been.
    pub(super) fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Acquire)
    }

    /// Interrupts that became requests.
    pub(super) fn interrupts(&self) -> u64 {
        self.interrupts.load(Ordering::Acquire)
    }

    /// Sets how many interrupts there are to be, in all.
    pub(super) fn expect_interrupts(&self, total: u64) {
        self.expected_interrupts.store(total, Ordering::Release);
    }

    /// Whether all interrupts became requests.
    pub(super) fn has_all_interrupts(&self) -> bool {
        self.interrupts() == self.expected_interrupts.load(Ordering::Acquire)
    }

    /// What the activities got of a core while it counted.
    pub(super) fn received(&self, core: usize) -> Option<[Received; 3]> {
        let counts = &self.cores[core];
        let (before, after) = (counts.before.get()?, counts.after.get()?);
        Some(core::array::from_fn(|kind| {
            Received::between(&before[kind], &after[kind])
        }))
    }

    /// One of those that keep the load going is over.
    fn end_one(&self) {
        if self.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            wake_boot_core();
        }
    }

    /// A request of a token: says whether it is the one that is due.
    fn take_turn(&self, token: usize, step: u64) {
        let due = self.tokens[token].compare_exchange(
            step,
            step + 1,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if due.is_err() {
            self.wrong.fetch_add(1, Ordering::AcqRel);
        }
        for turn in 0..TURNS[self.kind(token)] {
            core::hint::black_box(turn);
        }
    }

    /// Executes a request.
    fn handle(&self, message: Message, context: &mut Context<'_>) {
        match message {
            Message::Work { token, step } => self.work(token, step, context),
            Message::Meet { token, step } => self.meet(token, step, context),
            Message::Fire => self.fire(),
            Message::Interrupt => self.note_interrupt(context),
            Message::Flood => self.flood(context),
            Message::Filler => self.end_one(),
            Message::Audit => self.audit(context),
        }
    }

    /// A token at the meeting place: goes home.
    fn meet(&self, token: usize, step: u64, context: &mut Context<'_>) {
        self.take_turn(token, step);
        let step = step + 1;
        let home = self.workers[self.home(token)];
        send(context, home, Message::Work { token, step });
    }

    /// A token at its worker.
    fn work(&self, token: usize, step: u64, context: &mut Context<'_>) {
        self.take_turn(token, step);
        let all = self.tokens.len() as u64;
        let again = Message::Work {
            token,
            step: step + 1,
        };
        if step == 0 {
            self.arrived.fetch_add(1, Ordering::AcqRel);
        }
        if self.arrived.load(Ordering::Acquire) < all {
            return send(context, context.head().destination, again);
        }
        let core = context.core().index();
        let counts = &self.cores[core];
        let counted = counts.counted.fetch_add(1, Ordering::AcqRel) + 1;
        match counted {
            SETTLED => _ = counts.before.call_once(|| self.usages(core)),
            COUNTED => _ = counts.after.call_once(|| self.usages(core)),
            _ => {}
        }
        if counted >= COUNTED {
            self.end_one();
        } else if self.travels(token) {
            let step = step + 1;
            let label = AffinityLabel(token as u64 + 1);
            let request = context.request(self.meeting, Message::Meet { token, step });
            context.send(request.near(label));
        } else {
            send(context, context.head().destination, again);
        }
    }

    /// What the activities have used of a core's worker.
    fn usages(&self, core: usize) -> [Usage; 3] {
        let accounts = self.shared.grid.accounts();
        self.activities.map(|activity| {
            let mut accounts = accounts.iter();
            let found = accounts.find(|account| {
                account.resource == self.workers[core] && account.activity == activity
            });
            found.map_or_else(Usage::default, |account| account.usage)
        })
    }

    /// Has this core interrupted.
    fn fire(&self) {
        self.in_flight.store(true, Ordering::Release);
        let me = cores::current().apic_id();
        apic::send(me, apic::Message::Interrupt(self.vector));
    }

    /// An interrupt has become a request.
    fn note_interrupt(&self, context: &mut Context<'_>) {
        context.attribute(self.activities[0]);
        if !self.in_flight.swap(false, Ordering::AcqRel) {
            self.wrong.fetch_add(1, Ordering::AcqRel);
        }
        let count = self.interrupts.fetch_add(1, Ordering::AcqRel) + 1;
        if count < self.expected_interrupts.load(Ordering::Acquire) {
            let next = self.workers[count as usize % self.workers.len()];
            send(context, next, Message::Fire);
        } else {
            wake_boot_core();
        }
    }

    /// Fills this core's inbox, has it interrupted and waits until it was.
    fn flood(&self, context: &mut Context<'_>) {
        let worker = context.head().destination;
        loop {
            self.live.fetch_add(1, Ordering::AcqRel);
            let filler = Message::Filler;
            let filler = Request::new(worker, ActivityId::INFRASTRUCTURE, filler);
            if self.shared.grid.submit(context.platform(), filler).is_err() {
                break;
            }
        }
        let before = interrupts::times_latched();
        self.fire();
        // Where it does not come, the check fails for want of it.
        let _came = clock::wait_for(SOON, || interrupts::times_latched() > before);
        self.end_one();
    }

    /// Looks at this core's books, as they were when this request began.
    fn audit(&self, context: &Context<'_>) {
        let core = context.core();
        let counts = &self.cores[core.index()];
        let Some(ledger) = self.shared.grid.ledger(core) else {
            return;
        };
        let mut audit = Audit {
            elapsed: ledger.through - ledger.since,
            scheduling: ledger.scheduling,
            interrupt: ledger.interrupt,
            idle: ledger.idle,
            handled: counts.handled.load(Ordering::Acquire),
            ..Audit::default()
        };
        for account in self.shared.grid.accounts() {
            let ours = account.resource == self.meeting || self.workers.contains(&account.resource);
            if account.core == core {
                audit.accounts += account.usage.cycles;
                audit.booked += if ours { account.usage.requests } else { 0 };
            }
        }
        counts.audit.call_once(|| audit);
        wake_boot_core();
    }
}

/// Sends one more request of the load, paid and labelled as the one being handled.
fn send(context: &mut Context<'_>, to: ResourceId, message: Message) {
    let request = context.request(to, message);
    context.send(request);
}

/// The resources of the load; their state is in [`Load`].
pub(crate) struct Resources;

impl vortex_toolkit::Resources<SelfTest> for Resources {
    fn handle(&mut self, message: Message, context: &mut Context<'_>) -> Outcome<Message> {
        if let Some(load) = LOAD.get() {
            load.handle(message, context);
            let counts = &load.cores[context.core().index()];
            counts.handled.fetch_add(1, Ordering::AcqRel);
        }
        Outcome::Done
    }

    /// Then the chain of requests that it belongs to never ends, and the check says so.
    fn returned(&mut self, request: Request<Message>, reason: Reason, _: &mut Context<'_>) {
        log::error!("{request:?} was not executed: {reason}");
    }
}

/// What a core's books say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Audit {
    /// Cycles since the core entered the grid.
    pub(super) elapsed: u64,
    /// Of them in accounts.
    pub(super) accounts: u64,
    /// Of the toolkit.
    pub(super) scheduling: u64,
    /// Of low-level interrupt handlers.
    pub(super) interrupt: u64,
    /// With nothing to do.
    pub(super) idle: u64,
    /// Requests of the load that the core has executed.
    pub(super) handled: u64,
    /// Requests of the load that are in accounts.
    pub(super) booked: u64,
}

impl Audit {
    /// Cycles that are nowhere, or, if negative, twice.
    pub(super) const fn unaccounted(&self) -> i128 {
        let booked = self.accounts as i128
            + self.scheduling as i128
            + self.interrupt as i128
            + self.idle as i128;
        self.elapsed as i128 - booked
    }
}

impl core::ops::AddAssign<&Self> for Audit {
    fn add_assign(&mut self, other: &Self) {
        self.elapsed += other.elapsed;
        self.accounts += other.accounts;
        self.scheduling += other.scheduling;
        self.interrupt += other.interrupt;
        self.idle += other.idle;
        self.handled += other.handled;
        self.booked += other.booked;
    }
}
