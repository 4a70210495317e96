//! Who has how many frames: a count per activity, within its budget, and one per activity and
//! resource.
//!
//! Key types: [`Accounts`], [`AccountNumber`] (what a frame's entry remembers of its owner).
//!
//! Invariants: an activity's count is the sum of its accounts' once nobody is in the middle of a
//! change, and is never above the budget by a charge that was made under that budget. Counting
//! takes no lock; only the first frame of an activity at a resource does, to open the account.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use spin::Mutex;

use super::growing::Growing;
use super::{Owner, Refusal};
use crate::ids::{ActivityId, ResourceId};

/// The number of an account: one activity at one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AccountNumber(pub(super) u32);

/// One activity.
struct Payer {
    held: AtomicU64,
    budget: AtomicU64,
    /// The newest of its accounts, plus one.
    accounts: AtomicU32,
}

impl Default for Payer {
    fn default() -> Self {
        Self {
            held: AtomicU64::new(0),
            budget: AtomicU64::new(u64::MAX),
            accounts: AtomicU32::new(0),
        }
    }
}

/// One activity at one resource. All but the counts is written before the account can be found.
#[derive(Default)]
struct Account {
    resource: AtomicU32,
    activity: AtomicU32,
    held: AtomicU64,
    /// The activity's account opened before this one, plus one.
    next: AtomicU32,
    reclaimable: AtomicBool,
}

/// What is changed under the lock.
#[derive(Default)]
struct Opening {
    opened: u32,
    registered: Vec<ResourceId>,
}

pub(super) struct Accounts {
    payers: Growing<Payer>,
    accounts: Growing<Account>,
    opening: Mutex<Opening>,
}

impl Accounts {
    pub(super) const fn new() -> Self {
        Self {
            payers: Growing::new(),
            accounts: Growing::new(),
            opening: Mutex::new(Opening {
                opened: 0,
                registered: Vec::new(),
            }),
        }
    }

    pub(super) fn set_budget(&self, activity: ActivityId, frames: Option<u64>) {
        self.payers
            .entry(activity.0)
            .budget
            .store(frames.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn budget(&self, activity: ActivityId) -> Option<u64> {
        let budget = self.payers.get(activity.0)?.budget.load(Ordering::Relaxed);
        (budget != u64::MAX).then_some(budget)
    }

    pub(super) fn held(&self, activity: ActivityId) -> u64 {
        self.payers
            .get(activity.0)
            .map_or(0, |payer| payer.held.load(Ordering::Relaxed))
    }

    pub(super) fn held_at(&self, activity: ActivityId, resource: ResourceId) -> u64 {
        self.payers
            .get(activity.0)
            .and_then(|payer| self.find(payer, resource))
            .map_or(0, |number| {
                self.account(number).held.load(Ordering::Relaxed)
            })
    }

    /// All accounts that have been opened.
    pub(super) fn read(&self, each: &mut dyn FnMut(ActivityId, ResourceId, u64)) {
        let opened = self.opening.lock().opened;
        for number in 0..opened {
            let account = self.account(AccountNumber(number));
            each(
                ActivityId(account.activity.load(Ordering::Relaxed)),
                ResourceId(account.resource.load(Ordering::Relaxed)),
                account.held.load(Ordering::Relaxed),
            );
        }
    }

    /// So many frames more, if the budget allows it.
    #[inline]
    pub(super) fn charge(&self, owner: Owner, frames: u64) -> Result<AccountNumber, Refusal> {
        let payer = self.payers.entry(owner.activity.0);
        let budget = payer.budget.load(Ordering::Relaxed);
        payer
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(frames).filter(|&more| more <= budget)
            })
            .map_err(|_| Refusal::OverBudget)?;
        let number = self
            .find(payer, owner.resource)
            .unwrap_or_else(|| self.open(payer, owner));
        self.account(number)
            .held
            .fetch_add(frames, Ordering::Relaxed);
        Ok(number)
    }

    /// The account of an owner that has been charged.
    pub(super) fn of(&self, owner: Owner) -> Option<AccountNumber> {
        let payer = self.payers.get(owner.activity.0)?;
        self.find(payer, owner.resource)
    }

    /// So many frames fewer.
    #[inline]
    pub(super) fn credit(&self, number: AccountNumber, frames: u64) {
        let account = self.account(number);
        account.held.fetch_sub(frames, Ordering::Relaxed);
        self.payers
            .entry(account.activity.load(Ordering::Relaxed))
            .held
            .fetch_sub(frames, Ordering::Relaxed);
    }

    /// Whose an account is.
    pub(super) fn owner(&self, number: AccountNumber) -> (ResourceId, ActivityId) {
        let account = self.account(number);
        (
            ResourceId(account.resource.load(Ordering::Relaxed)),
            ActivityId(account.activity.load(Ordering::Relaxed)),
        )
    }

    /// The resource can be asked for frames.
    pub(super) fn register(&self, resource: ResourceId) {
        let mut opening = self.opening.lock();
        if opening.registered.contains(&resource) {
            return;
        }
        opening.registered.push(resource);
        for number in 0..opening.opened {
            let account = self.account(AccountNumber(number));
            if account.resource.load(Ordering::Relaxed) == resource.0 {
                account.reclaimable.store(true, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn is_reclaimable(&self, number: AccountNumber) -> bool {
        self.account(number).reclaimable.load(Ordering::Relaxed)
    }

    #[inline]
    fn account(&self, number: AccountNumber) -> &Account {
        self.accounts.entry(number.0)
    }

    /// An activity uses few resources, so its accounts are a list.
    #[inline]
    fn find(&self, payer: &Payer, resource: ResourceId) -> Option<AccountNumber> {
        let mut link = payer.accounts.load(Ordering::Acquire);
        while link != 0 {
            let number = AccountNumber(link - 1);
            let account = self.account(number);
            if account.resource.load(Ordering::Relaxed) == resource.0 {
                return Some(number);
            }
            link = account.next.load(Ordering::Relaxed);
        }
        None
    }

    #[cold]
    fn open(&self, payer: &Payer, owner: Owner) -> AccountNumber {
        let mut opening = self.opening.lock();
        if let Some(number) = self.find(payer, owner.resource) {
            return number;
        }
        let number = AccountNumber(opening.opened);
        opening.opened += 1;
        let account = self.account(number);
        account.resource.store(owner.resource.0, Ordering::Relaxed);
        account.activity.store(owner.activity.0, Ordering::Relaxed);
        let known = payer.accounts.load(Ordering::Relaxed);
        account.next.store(known, Ordering::Relaxed);
        account.reclaimable.store(
            opening.registered.contains(&owner.resource),
            Ordering::Relaxed,
        );
        payer.accounts.store(number.0 + 1, Ordering::Release);
        number
    }
}
