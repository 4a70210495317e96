//! The grid on the real cores: every request is executed once, shares follow the weights, every
//! cycle is in the books, and an interrupt becomes one request even where there is no room for it.
//!
//! `load` is what the cores do, here is what they are asked to do and what is made of it. There is
//! a worker on every core, which three activities of different weights keep busy all the time with
//! requests of different lengths, and one resource on all cores through which some requests travel
//! to other cores and back. The load ends after a number of requests, not after a time.

mod load;

use alloc::format;
use alloc::string::String;

use vortex_hal::{clock, cpu, logging};
use vortex_toolkit::Request;
use vortex_toolkit::ids::{ActivityId, CoreId};
use vortex_toolkit::scheduler::{ClientParams, Weight};
use vortex_toolkit::statistics::Usage;

use self::load::{Audit, COUNTED, Load, Message};
use super::{Failure, ensure};
use crate::grid::{self, Local, Processor, interrupts};

pub(crate) use self::load::SelfTest;

/// What the cores share.
type Shared = grid::Shared<SelfTest>;

/// The activities' weights.
const WEIGHTS: [u32; 3] = [500, 300, 200];

/// How often each core is interrupted, one interrupt after the other.
const INTERRUPTS: u64 = 20;

/// How long nobody has anything to do before the books are looked at, in nanoseconds.
const REST_NS: u64 = 50_000_000;

/// How long each part may take, in nanoseconds: the load is some hundred thousand requests, and
/// under emulation all cores share few host cores.
const PATIENCE_NS: u64 = 60_000_000_000;

/// Runs the load on `local`, the boot core, and on all other cores of the grid.
pub(super) fn check(shared: &'static Shared, local: &mut Local<SelfTest>) -> Result<(), Failure> {
    let load = Load::install(shared, activities(shared))?;
    let test = Test {
        shared,
        load,
        platform: Processor::new(&shared.places),
    };
    test.exchange(local)?;
    test.interrupt(local)?;
    test.flood(local)?;
    test.rest(local);
    test.audit(local)
}

fn activities(shared: &Shared) -> [ActivityId; 3] {
    WEIGHTS.map(|weight| {
        let params = ClientParams {
            weight: Weight::new(weight).unwrap_or(Weight::DEFAULT),
            ..ClientParams::default()
        };
        shared
            .grid
            .add_activity(&format!("selftest.{weight}"), params)
    })
}

struct Test {
    shared: &'static Shared,
    load: &'static Load,
    platform: Processor,
}

impl Test {
    /// Sends a request to a worker by way of its core.
    fn send(&self, core: usize, payer: ActivityId, message: Message) -> Result<(), Failure> {
        let worker = self.load.workers[core];
        let request = Request::new(worker, payer, message);
        let grid = &self.shared.grid;
        grid.submit_to(&self.platform, core_id(core), request)
            .map_err(|_| Failure::new(format_args!("the inbox of core {core} is full")))
    }

    /// Serves until `over` says so; fails with `what` when it does not in time.
    fn wait(
        local: &mut Local<SelfTest>,
        over: impl Fn() -> bool,
        what: impl Fn() -> String,
    ) -> Result<(), Failure> {
        let cycles = clock::rate().map_or(u64::MAX, |rate| rate.cycles(PATIENCE_NS));
        let end = cpu::timestamp().saturating_add(cycles);
        let ended = local.run_until(end, over);
        ensure(ended, format_args!("{}", what()))
    }

    /// The load itself, and what each activity got of each core.
    fn exchange(&self, local: &mut Local<SelfTest>) -> Result<(), Failure> {
        for token in 0..self.load.tokens.len() {
            let (core, payer) = (self.load.home(token), self.load.payer(token));
            self.send(core, payer, Message::Work { token, step: 0 })?;
        }
        Self::wait(
            local,
            || self.load.live() == 0,
            || format!("{} chains of requests have not ended", self.load.live()),
        )?;
        let wrong = self.load.wrong();
        ensure(
            wrong == 0,
            format_args!("{wrong} requests were executed twice or out of turn"),
        )?;
        (0..self.load.cores.len()).try_for_each(|core| self.check_shares(core))
    }

    /// While all three were busy, their cycles followed their weights as closely as weighted fair
    /// queueing promises (twice its bound: the longest request is known to a factor of two).
    fn check_shares(&self, core: usize) -> Result<(), Failure> {
        let received = self
            .load
            .received(core)
            .ok_or_else(|| Failure::new(format_args!("core {core} has not done its part")))?;
        log::debug!("core {core}: {received:?}");
        for (one, first) in received.iter().enumerate() {
            for (other, second) in received.iter().enumerate() {
                let (own, its) = (u128::from(WEIGHTS[one]), u128::from(WEIGHTS[other]));
                let apart =
                    (u128::from(first.cycles) * its).abs_diff(u128::from(second.cycles) * own);
                let bound = u128::from(first.longest) * its + u128::from(second.longest) * own;
                ensure(
                    apart <= 2 * bound,
                    format_args!(
                        "core {core}: of weights {own} and {its}, one got {} cycles, the other {}",
                        first.cycles, second.cycles
                    ),
                )?;
            }
        }
        Ok(())
    }

    /// One interrupt after the other, on all cores in turn.
    fn interrupt(&self, local: &mut Local<SelfTest>) -> Result<(), Failure> {
        self.load.expect_interrupts(self.total_interrupts());
        self.send(0, ActivityId::INFRASTRUCTURE, Message::Fire)?;
        self.wait_for_interrupts(local)
    }

    fn total_interrupts(&self) -> u64 {
        self.load.cores.len() as u64 * INTERRUPTS
    }

    fn wait_for_interrupts(&self, local: &mut Local<SelfTest>) -> Result<(), Failure> {
        Self::wait(
            local,
            || self.load.has_all_interrupts() && self.load.live() == 0,
            || format!("{} interrupts became requests", self.load.interrupts()),
        )?;
        let wrong = self.load.wrong();
        ensure(
            wrong == 0,
            format_args!("{wrong} interrupts became more than one request"),
        )
    }

    /// An interrupt that comes while the inbox of its core is full.
    fn flood(&self, local: &mut Local<SelfTest>) -> Result<(), Failure> {
        let before = interrupts::times_latched();
        self.load.expect_interrupts(self.total_interrupts() + 1);
        let last = self.load.cores.len() - 1;
        self.send(last, ActivityId::INFRASTRUCTURE, Message::Flood)?;
        self.wait_for_interrupts(local)?;
        ensure(
            interrupts::times_latched() > before,
            format_args!("an interrupt found room in a full inbox"),
        )
    }

    /// Nobody has anything to do for a while.
    fn rest(&self, local: &mut Local<SelfTest>) {
        let end = cpu::timestamp().saturating_add(rest_cycles());
        let _ended = local.run_until(end, || false);
    }

    /// Every core looks at its own books.
    fn audit(&self, local: &mut Local<SelfTest>) -> Result<(), Failure> {
        let cores = 0..self.load.cores.len();
        for core in cores.clone() {
            self.send(core, ActivityId::INFRASTRUCTURE, Message::Audit)?;
        }
        let audit = |core: usize| self.load.cores[core].audit.get();
        Self::wait(
            local,
            || cores.clone().all(|core| audit(core).is_some()),
            || "a core has not looked at its books".into(),
        )?;
        for (core, audit) in cores.clone().filter_map(|core| Some((core, audit(core)?))) {
            check_books(core, audit)?;
        }
        self.check_attribution()?;
        self.print_figures(cores.filter_map(audit));
        Ok(())
    }

    /// The receiver of the interrupts has found out who pays for them.
    fn check_attribution(&self) -> Result<(), Failure> {
        let payer = self.load.activities[0];
        let paid = self.shared.grid.usage(self.load.meeting, payer).requests;
        ensure(
            paid >= self.total_interrupts(),
            format_args!("only {paid} requests were attributed to the payer of the interrupts"),
        )
    }

    fn print_figures<'a>(&self, audits: impl Iterator<Item = &'a Audit>) {
        let mut sum = Audit::default();
        for audit in audits {
            sum += audit;
        }
        let cores = self.load.cores.len();
        let mut received = [0; 3];
        for core in 0..cores {
            for (all, one) in received
                .iter_mut()
                .zip(self.load.received(core).iter().flatten())
            {
                *all += one.cycles;
            }
        }
        let whole = received.iter().sum::<u64>().max(1);
        let [first, second, third] = received.map(|part| part * 1000 / whole);
        logging::print_line(format_args!(
            "selftest grid: {} requests on {cores} cores, shares {first} {second} {third} per \
             mille of 500 300 200, {} interrupts, cycles: {} elapsed, {} in accounts, {} \
             scheduling, {} interrupts, {} idle, {} in no account",
            sum.handled,
            self.load.interrupts(),
            sum.elapsed,
            sum.accounts,
            sum.scheduling,
            sum.interrupt,
            sum.idle,
            sum.unaccounted(),
        ));
    }
}

/// Every cycle is booked once, and every request.
fn check_books(core: usize, audit: &Audit) -> Result<(), Failure> {
    ensure(
        audit.unaccounted() == 0,
        format_args!(
            "core {core}: {} cycles are in no account: {audit:?}",
            audit.unaccounted()
        ),
    )?;
    ensure(
        audit.booked == audit.handled,
        format_args!(
            "core {core}: {} requests were executed, {} are booked",
            audit.handled, audit.booked
        ),
    )?;
    ensure(
        audit.handled >= COUNTED && audit.scheduling > 0 && audit.interrupt > 0,
        format_args!("core {core}: something is missing in the books: {audit:?}"),
    )?;
    // Half: who was preempted by the host just before it slept was not idle meanwhile.
    ensure(
        audit.idle >= rest_cycles() / 2,
        format_args!("core {core}: its rest is not in the books: {audit:?}"),
    )
}

/// [`REST_NS`] in cycles.
fn rest_cycles() -> u64 {
    clock::rate().map_or(0, |rate| rate.cycles(REST_NS))
}

/// What one activity used in an interval.
#[derive(Clone, Copy, Debug)]
struct Received {
    /// Cycles.
    cycles: u64,
    /// No request of it was longer, in cycles.
    longest: u64,
}

impl Received {
    fn between(before: &Usage, after: &Usage) -> Self {
        let last = after.service.iter().rposition(|&count| count > 0);
        Self {
            cycles: after.cycles - before.cycles,
            longest: last.map_or(0, |bucket| 2 << bucket),
        }
    }
}

fn core_id(index: usize) -> CoreId {
    CoreId(u16::try_from(index).unwrap_or(u16::MAX))
}

/// What a core's worker is called.
fn worker_name(core: usize) -> String {
    format!("selftest.worker{core}")
}
