//! What the grid can tell of consumption: accounts, ledgers, and both at one time.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::ids::{ActivityId, CoreId, ResourceId};
use crate::span::Span;
use crate::statistics::{Account, Ledger, LedgerReading, Usage};
use crate::system::System;

use super::Grid;

/// One account with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountReading {
    /// The core.
    pub core: CoreId,
    /// The resource.
    pub resource: ResourceId,
    /// The activity.
    pub activity: ActivityId,
    /// What was used.
    pub usage: Usage,
}

/// All accounts and ledgers at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The time, in cycles.
    pub at: u64,
    /// The ledger of each core, in order; `through` is the time up to which this core's cycles are
    /// in it and in the accounts.
    pub ledgers: Vec<LedgerReading>,
    /// The accounts, ordered by resource, core and activity.
    pub accounts: Vec<AccountReading>,
}

impl Snapshot {
    /// Cycles of a core that are in no account and no column of its ledger, from its start up to
    /// its `through`: none but what it was about to book, or has booked, while it was read.
    #[must_use]
    pub fn missing_cycles(&self, core: CoreId) -> i128 {
        let Some(ledger) = self.ledgers.get(core.index()) else {
            return 0;
        };
        let own = self.accounts.iter().filter(|account| account.core == core);
        let used: i128 = own.map(|account| i128::from(account.usage.cycles)).sum();
        let other = [ledger.scheduling, ledger.interrupt, ledger.idle];
        let booked = used + other.map(i128::from).iter().sum::<i128>();
        i128::from(ledger.through) - i128::from(ledger.since) - booked
    }
}

/// An account with its place, in hand.
type Held = (ResourceId, CoreId, ActivityId, Arc<Account>);

/// How often a core is looked at again that is just booking what was published.
const ATTEMPTS: usize = 1000;

/// How often a core is read again that has booked something else meanwhile.
const READINGS: usize = 8;

impl<Y: System> Grid<Y> {
    /// One core's ledger.
    #[must_use]
    pub fn ledger(&self, core: CoreId) -> Option<LedgerReading> {
        self.ledgers.get(core.index()).map(|ledger| ledger.read())
    }

    pub(crate) fn ledger_of(&self, core: CoreId) -> Arc<Ledger> {
        self.ledgers[core.index()].clone()
    }

    /// Takes hold of all accounts, in order.
    fn hold(&self) -> Vec<Held> {
        let mut held = Vec::new();
        // No account goes to its heir meanwhile.
        let heirs = self.heirs.lock();
        for (_, resource) in self.resources.read().iter() {
            let from = held.len();
            for ((core, activity), account) in resource.accounts.lock().iter() {
                held.push((resource.id, *core, *activity, account.clone()));
            }
            held[from..].sort_unstable_by_key(|(_, core, activity, _)| (*core, *activity));
        }
        drop(heirs);
        held
    }

    /// All accounts: who has used what, on which core. Ordered by resource, core and activity. What
    /// a core is executing is not in them yet; see [`Self::snapshot`].
    ///
    /// The accounts of resources that were removed are summed up by name, those of activities that
    /// have ended are [`ActivityId::ENDED`]'s.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountReading> {
        let held = self.hold();
        held.iter().map(reading).collect()
    }

    /// All accounts and ledgers as of `now`, a time read just before: with what each core has been
    /// executing since it last booked something, if that is a thread in user mode
    /// ([`crate::Context::enter_user`]), and with the time it has been asleep. A core that works on
    /// short requests is read as of the last one.
    #[must_use]
    pub fn snapshot(&self, now: u64) -> Snapshot {
        let held = self.hold();
        let mut accounts: Vec<_> = held.iter().map(reading).collect();
        let mut ledgers = Vec::with_capacity(self.cores());
        for number in 0..self.cores() {
            let core = CoreId(u16::try_from(number).unwrap_or(u16::MAX));
            let own: Vec<_> = (0..held.len())
                .filter(|index| held[*index].1 == core)
                .collect();
            let mut ledger = LedgerReading::default();
            let mut readings = 0;
            let mut read = || {
                ledger = self.ledgers[number].read();
                for &index in &own {
                    accounts[index].usage.cycles = held[index].3.cycles.get();
                }
                readings += 1;
                readings >= READINGS || self.ledgers[number].through.get() == ledger.through
            };
            let span = self.spans[number].read_with(ATTEMPTS, &mut read);
            let span = span.unwrap_or_else(|| {
                read();
                Span::Short
            });
            add_span(span, now, core, &mut ledger, &mut accounts);
            ledgers.push(ledger);
        }
        Snapshot {
            at: now,
            ledgers,
            accounts,
        }
    }

    /// What `activity` has used of `resource` on all cores.
    #[must_use]
    pub fn usage(&self, resource: ResourceId, activity: ActivityId) -> Usage {
        let mut sum = Usage::default();
        if let Some(resource) = self.resource(resource) {
            for ((_, payer), account) in resource.accounts.lock().iter() {
                if *payer == activity {
                    sum += &account.read();
                }
            }
        }
        sum
    }
}

fn reading((resource, core, activity, account): &Held) -> AccountReading {
    AccountReading {
        core: *core,
        resource: *resource,
        activity: *activity,
        usage: account.read(),
    }
}

/// Adds the span that a core is in, up to `now`.
fn add_span(
    span: Span,
    now: u64,
    core: CoreId,
    ledger: &mut LedgerReading,
    accounts: &mut Vec<AccountReading>,
) {
    let (Span::Idle { since } | Span::User { since, .. }) = span else {
        return;
    };
    let elapsed = now.saturating_sub(since);
    ledger.through = since + elapsed;
    let Span::User {
        resource,
        activity,
        interrupted,
        ..
    } = span
    else {
        ledger.idle += elapsed;
        return;
    };
    let interrupted = interrupted.min(elapsed);
    ledger.interrupt += interrupted;
    let place = (resource, core, activity);
    let found = accounts
        .iter_mut()
        .find(|one| (one.resource, one.core, one.activity) == place);
    if let Some(account) = found {
        account.usage.cycles += elapsed - interrupted;
    } else {
        let usage = Usage {
            cycles: elapsed - interrupted,
            ..Usage::default()
        };
        accounts.push(AccountReading {
            core,
            resource,
            activity,
            usage,
        });
    }
}
