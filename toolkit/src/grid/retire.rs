//! How resources, schedulers and activities go, and what becomes of their accounts.
//!
//! What goes is announced to all cores; each gives up its part, and the last one to do so ends the
//! removal: the number becomes free, and the accounts are added to others. Those of a resource go
//! to its *heir*, a resource of the same name that takes no requests; those of an activity go to
//! [`ActivityId::ENDED`] at the same resource. So no total goes back, and what is kept is bounded
//! by the names there have been.
//!
//! An account that inherits is replaced rather than changed: who has it in hand, and is about to
//! read the one that it inherits from too, does not count anything twice.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::binding::FastMap;
use crate::ids::{ActivityId, CoreId, ResourceId};
use crate::statistics::Account;
use crate::system::System;

use super::resource::Resource;
use super::{Grid, SchedulerId};

/// The heirs by name. Whoever moves accounts, or takes hold of all of them, has this locked.
pub(super) type Heirs = FastMap<String, ResourceId>;

type Accounts = FastMap<(CoreId, ActivityId), Arc<Account>>;

fn bequeath(accounts: &mut Accounts, heir: (CoreId, ActivityId), account: &Account) {
    let mut sum = account.read();
    sum.queue_length = 0;
    if let Some(before) = accounts.get(&heir) {
        sum += &before.read();
    }
    accounts.insert(heir, Arc::new(Account::of(&sum)));
}

impl<Y: System> Grid<Y> {
    /// A core has nothing of a resource any more. Once for each core.
    pub(crate) fn leave_resource(&self, id: ResourceId) {
        let Some(resource) = self.resource(id).filter(|one| one.removal.leave()) else {
            return;
        };
        let mut heirs = self.heirs.lock();
        let left = core::mem::take(&mut *resource.accounts.lock());
        if !left.is_empty() {
            let heir = self.heir(&mut heirs, &resource);
            let mut accounts = heir.accounts.lock();
            for (place, account) in left {
                bequeath(&mut accounts, place, &account);
            }
        }
        self.resources.write().remove(id.0);
    }

    fn heir(&self, heirs: &mut Heirs, of: &Resource<Y>) -> Arc<Resource<Y>> {
        let known = heirs.get(&of.name).and_then(|id| self.resource(*id));
        known.unwrap_or_else(|| {
            let mut resources = self.resources.write();
            let make = |number| Arc::new(Resource::heir(ResourceId(number), of));
            let number = resources.insert(make);
            heirs.insert(of.name.clone(), ResourceId(number));
            resources
                .get(number)
                .expect("it was put in just now")
                .clone()
        })
    }

    /// A core has nothing of a scheduler any more. Once for each core.
    pub(crate) fn leave_scheduler(&self, id: SchedulerId) {
        if self.scheduler(id).is_some_and(|one| one.removal.leave()) {
            self.schedulers.write().remove(id.0);
        }
    }

    /// A core has nothing of an activity any more. Once for each core.
    pub(crate) fn leave_activity(&self, id: ActivityId) {
        let mut activities = self.activities.write();
        let Some(activity) = activities.get_mut(id.0) else {
            return;
        };
        activity.remaining -= 1;
        if activity.remaining > 0 {
            return;
        }
        drop(activities);
        let heirs = self.heirs.lock();
        let resources: Vec<_> = self
            .resources
            .read()
            .iter()
            .map(|(_, one)| one.clone())
            .collect();
        for resource in resources {
            resource.clients.lock().remove(&id);
            resource.bindings.forget_all_of(id);
            let mut accounts = resource.accounts.lock();
            let own = accounts.keys().filter(|(_, payer)| *payer == id);
            for place in own.copied().collect::<Vec<_>>() {
                if let Some(account) = accounts.remove(&place) {
                    bequeath(&mut accounts, (place.0, ActivityId::ENDED), &account);
                }
            }
        }
        drop(heirs);
        self.activities.write().remove(id.0);
    }
}
